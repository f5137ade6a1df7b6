# SPDX-License-Identifier: Apache-2.0
"""The part of several ranks: NCCL with one rank on any card; where there are several cards and Open MPI, runs of two,
three and all of them beside a run of one process."""
import os
import shutil
import subprocess
import sys

import packing
import parts_tests
import tensors
from results import FAILED, PASSED, SKIPPED, Result

CHUNK = 16  # images whose gradients are one summand on a GPU; a rank needs one at least
MPIRUN = ["mpirun", "--allow-run-as-root", "--oversubscribe", "--bind-to", "none", "-n"]
LOAD = f"import ctypes; ctypes.CDLL({sorted(packing.MPI)[0]!r})"


def cards():
    """How many this process may use, as far as nvidia-smi tells; 0 without it."""
    try:
        done = subprocess.run(["nvidia-smi", "-L"], capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return 0
    listed = sum(line.startswith("GPU ") for line in done.stdout.splitlines()) if done.returncode == 0 else 0
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    return listed if visible is None else min(listed, sum(1 for one in visible.split(",") if one.strip()))


def why_not(context, count):
    """What this machine lacks for several ranks; None if nothing."""
    if count < 2:
        return "a rank needs a GPU of its own, and nvidia-smi tells of " + ("one" if count else "none")
    if not os.path.exists(os.path.join(os.path.dirname(context.place.ito), packing.RANKS)):
        return f"{count} GPUs, but this was built without MPI: no {packing.RANKS} beside ito-cuda"
    if not shutil.which("mpirun", path=context.env.get("PATH")):
        return f"{count} GPUs, but no mpirun in PATH: install Open MPI"
    loaded = context.run(MPIRUN + ["1", sys.executable, "-c", LOAD], 30, "ranks-mpi")
    if loaded.code != 0:
        return f"{count} GPUs, but mpirun does not start a process that loads Open MPI: {loaded.last_line()}"
    return None


def ranks(context):
    """A run's losses and weights do not know how many ranks it had."""
    alone = parts_tests.nccl_alone(context)
    if alone.status != PASSED:
        return alone
    if not sum(suite["count"]["passed"] for suite in alone.details["suites"]):
        return Result(SKIPPED, "NCCL was not found", **alone.details)
    count = cards()
    lacking = why_not(context, count)
    if lacking:
        return Result(PASSED, f"NCCL with one rank moves bytes; no run of several: {lacking}", **alone.details)
    recording = context.place.load_recording()
    files = ["metrics.jsonl", recording["short_weights"]]
    counts = sorted({2, min(3, count), count})
    differences, runs = [], []
    for precision in ("fp32", "bf16"):
        first = None
        for number, eager in [(1, False)] + [(number, False) for number in counts] + [(count, True)]:
            name = f"ranks-{precision}-{number}" + ("-eager" if eager else "")
            out = context.scratch(name)
            words = context.words(recording["train_short"], out=out) + ["--precision", precision]
            words[words.index("--batch") + 1] = str(CHUNK * max(4, count))
            words += ["--eager"] if eager else []
            start = MPIRUN + [str(number)] if number > 1 else []
            outcome = context.run(start + [context.place.ito] + words, 60, name)
            runs.append(outcome.record())
            trouble = context.judge(outcome)
            if trouble:
                return Result(trouble.status, f"{number} ranks: {trouble.summary}", runs=runs)
            first = first or out
            for file in files if out != first else []:
                difference = tensors.difference(os.path.join(first, file), os.path.join(out, file))
                if difference:
                    differences.append({"run": name, "file": file, "difference": difference})
    shutil.rmtree(os.path.join(context.folder, "work"), ignore_errors=True)
    if differences:
        one = differences[0]
        return Result(FAILED, f"{len(differences)} files differ from those of one process; {one['run']} in "
                              f"{one['file']}: {one['difference']}", differences=differences, runs=runs)
    return Result(PASSED, f"NCCL with one rank moves bytes; {'/'.join(map(str, [1] + counts))} ranks and eager: the same "
                          "bytes", runs=runs, cards=count)
