"""Workers of a campaign in a Dask cluster: python dask_workers.py SCHEDULER DIR N [SIDEREAL]

SCHEDULER is the address of Dask's scheduler, DIR the campaign directory, on a file system that all nodes see, N how many
workers there are to be, each in the place of one of Dask's tasks.
"""

import os
import subprocess
import sys

from dask.distributed import Client


def work(directory: str, sidereal: str) -> None:
    command = [sidereal, "worker", "--campaign", directory, "--threads", "1", "--python", sys.executable]
    subprocess.run(command, check=True)


if __name__ == "__main__":
    scheduler, directory, n = sys.argv[1], os.path.abspath(sys.argv[2]), int(sys.argv[3])
    sidereal = sys.argv[4] if len(sys.argv) > 4 else "sidereal"
    with Client(scheduler) as client:
        tasks = [client.submit(work, directory, sidereal, pure=False, retries=10) for _ in range(n)]
        client.gather(tasks)
