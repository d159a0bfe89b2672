"""Submits a campaign's trainer and workers to a HyperQueue server: python submit.py DIR N [SIDEREAL]

DIR is the campaign directory, on a file system that all nodes see, N how many workers there are to be, each on one core.
The server is the one of this user (`HQ_SERVER_DIR`, else ~/.hq-server), as `hq` finds it.
"""

import os
import sys

from hyperqueue import Client, Job
from hyperqueue.ffi.protocol import ResourceRequest

directory, n = os.path.abspath(sys.argv[1]), int(sys.argv[2])
sidereal = sys.argv[3] if len(sys.argv) > 3 else "sidereal"
client = Client(os.environ.get("HQ_SERVER_DIR"))
job = Job(name="sidereal", default_workdir=directory)
for name, cores, python in [("trainer", 2, []), *[(f"worker-{i}", 1, ["--python", sys.executable]) for i in range(n)]]:
    job.program(
        [sidereal, name.split("-")[0], "--campaign", directory, "--threads", str(cores), *python],
        name=name,
        stdout=f"{name}.out",
        stderr=f"{name}.log",
        resources=ResourceRequest(cpus=cores),
        crash_limit=1000,  # how often HyperQueue may lose the node under a task, and start it again
    )
submitted = client.submit(job)
print(f"job {submitted.id}: {n} workers and a trainer, logs in {directory}")
client.wait_for_jobs([submitted])
