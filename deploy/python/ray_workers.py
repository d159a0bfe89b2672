"""Workers of a campaign in a Ray cluster: python ray_workers.py DIR N [SIDEREAL]

DIR is the campaign directory, on a file system that all nodes see, N how many workers there are to be, each on one core.
"""

import os
import subprocess
import sys

import ray


@ray.remote(num_cpus=1, max_retries=-1, retry_exceptions=True)
def work(directory: str, sidereal: str) -> None:
    command = [sidereal, "worker", "--campaign", directory, "--threads", "1", "--python", sys.executable]
    subprocess.run(command, check=True)


if __name__ == "__main__":
    directory, n = os.path.abspath(sys.argv[1]), int(sys.argv[2])
    sidereal = sys.argv[3] if len(sys.argv) > 3 else "sidereal"
    ray.init()
    ray.get([work.remote(directory, sidereal) for _ in range(n)])
