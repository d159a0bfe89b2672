"""Draws from zuko's flows for benches/draw/main.rs, which starts this and says what to draw.

pip install torch zuko
"""

import sys
import time

import torch
import zuko


def flow(kind, d, blocks, hidden, layers, bins):
    sizes = {"transforms": blocks, "hidden_features": (hidden,) * layers}
    if kind == "maf":
        return zuko.flows.MAF(d, **sizes)
    if kind == "nsf":
        return zuko.flows.NSF(d, bins=bins, **sizes)
    return zuko.flows.NSF(d, bins=bins, passes=2, **sizes)


def main():
    flows = {}
    print("zuko", zuko.__version__, "torch", torch.__version__, flush=True)
    for line in sys.stdin:
        kind, *numbers = line.split()
        d, blocks, hidden, layers, bins, n, threads = map(int, numbers)
        torch.set_num_threads(threads)
        key = (kind, d)
        if key not in flows:
            torch.manual_seed(0)
            flows[key] = flow(kind, d, blocks, hidden, layers, bins)
        wall, cpu = time.perf_counter(), time.process_time()
        with torch.no_grad():
            flows[key]().rsample_and_log_prob((n,))
        print(time.perf_counter() - wall, time.process_time() - cpu, flush=True)


main()
