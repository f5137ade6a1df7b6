#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Times our CPU engine against PyTorch, one repetition of each in turn, and prints a Markdown table.

  compare_cpu.py [--peer-python PATH] [--precision fp32|bf16] [--what "train 64,sample 1,sample 16,sample 64"]
                 [--model CONFIG] [--repetitions 20] [--ours "build/ito bench --serve"]
                 [--peer "python3 tools/bench/peer_torch_cpu.py"]

--peer-python is the Python whose PyTorch is to be the peer, of a virtual environment for example; --model is the path of
a config.json, which both sides run in place of the demo. Both sides speak the line protocol of peer_torch_cpu.py. Each
case is warmed up, then timed A-B-A-B...; the table has medians with min and max, and the ratio peer/ours as the median of
the pairs with its quartiles. Seconds per command become images per second (or image steps per second) by the batch size.
"""
import argparse
import json
import os
import shlex
import statistics
import subprocess
import sys
import time

PAUSE = 0.03  # seconds before each command: idle OpenMP threads of the other side spin a few milliseconds, then sleep
HERE = os.path.dirname(os.path.abspath(__file__))


class Server:
    """A program that answers each command line with one JSON line."""

    def __init__(self, command, env):
        self.command = command
        self.process = subprocess.Popen(shlex.split(command), stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                        text=True, env=env)

    def run(self, what):
        time.sleep(PAUSE)
        self.process.stdin.write(what + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise SystemExit(f"compare_cpu.py: `{self.command}` ended at `{what}`; expected one JSON line")
        answer = json.loads(line)
        if "seconds" not in answer:
            raise SystemExit(f"compare_cpu.py: `{self.command}` answered {line.strip()} to `{what}`")
        return answer

    def quit(self):
        self.process.stdin.write("quit\n")
        self.process.stdin.close()
        self.process.wait(30)


def spread(times, scale=1e3):
    return f"{statistics.median(times) * scale:.2f} ({min(times) * scale:.2f} to {max(times) * scale:.2f})"


def processor():
    with open("/proc/cpuinfo") as file:
        names = [line.split(":", 1)[1].strip() for line in file if line.startswith("model name")]
    return f"{names[0] if names else 'unknown processor'}, {len(names)} logical processors"


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--ours", default="build/ito bench --serve")
    parser.add_argument("--peer-python", default=sys.executable)
    parser.add_argument("--peer", help="in place of peer_torch_cpu.py under --peer-python")
    parser.add_argument("--model", help="a config.json; the demo without one")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--what", default="train 64,sample 1,sample 16,sample 64")
    parser.add_argument("--repetitions", type=int, default=20)
    parser.add_argument("--warmup", type=int, default=3)
    parser.add_argument("--threads", type=int, default=2)
    args = parser.parse_args()
    env = dict(os.environ, OMP_NUM_THREADS=str(args.threads))
    peer_env = {name: value for name, value in env.items() if name not in ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")}
    peer = args.peer or f"{shlex.quote(args.peer_python)} {shlex.quote(HERE)}/peer_torch_cpu.py"
    ours = args.ours
    if args.model:
        ours, peer = f"{ours} --model {shlex.quote(args.model)}", f"{peer} {shlex.quote(args.model)}"
    ours, peer = (Server(f"{command} --precision {args.precision}", environment)
                  for command, environment in ((ours, env), (peer, peer_env)))
    print(f"{processor()}; {args.precision}; {args.threads} threads a side; {args.repetitions} repetitions of each, "
          f"alternating; load average before {os.getloadavg()[0]:.2f}\n")
    print("| case | ours ms (min to max) | PyTorch ms (min to max) | ours img/s | PyTorch img/s | ratio (quartiles) "
          "| PyTorch layout |\n|---|---|---|---|---|---|---|")
    for what in args.what.split(","):
        what = what.strip()
        if len(what.split()) != 2 or not what.split()[1].isdigit():
            sys.exit(f"compare_cpu: --what '{what}': expected cases such as 'train 64, sample 16'")
        batch = int(what.split()[1])
        for _ in range(args.warmup):
            ours.run(what)
            peer.run(what)
        a, b = [], []
        for _ in range(args.repetitions):
            a.append(ours.run(what)["seconds"])
            answer = peer.run(what)
            b.append(answer["seconds"])
        ratios = sorted(q / p for p, q in zip(a, b))
        low, middle, high = statistics.quantiles(ratios, n=4)
        print(f"| {what} | {spread(a)} | {spread(b)} | {batch / statistics.median(a):.1f} "
              f"| {batch / statistics.median(b):.1f} | {middle:.2f} ({low:.2f} to {high:.2f}) "
              f"| {answer['layout']}, {answer.get('variant', 'eager')} |", flush=True)
    ours.quit()
    peer.quit()


if __name__ == "__main__":
    main()
