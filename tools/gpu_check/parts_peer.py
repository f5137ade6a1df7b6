# SPDX-License-Identifier: Apache-2.0
"""The peer: PyTorch on the same card, the same network and the same step, one repetition of each side in turn."""
import glob
import json
import os
import shutil
import statistics
import subprocess

from process import Clock, Server
from results import FAILED, NO_DEVICE, PASSED, SKIPPED, Result

# What is raced: model, precision, commands. The variants are peer_torch_gpu.py's; eager first, which needs nothing but
# PyTorch; the compiled ones need a C compiler and minutes, the last of them many.
RACES = [("ddpm-cifar10", "bf16", ["train 128", "sample 64", "sample 1"])]
VARIANTS = ["eager", "graph", "compile", "autotune"]
COMPILED = VARIANTS[2:]
LEAST = {"autotune": 100}  # seconds without which a variant is not begun
REPETITIONS = 20
SETUP = 100  # seconds for a side's first answer: libraries load, graphs are made; compiled variants have all that is left
ANSWER = 10
RACE = 10  # seconds that are kept for the repetitions after a first answer
NO_CUDA = "PyTorch finds no CUDA device"  # peer_torch_gpu.py's words: a PyTorch for the CPU


def pythons():
    """Every python3 of the machine, in the order of PATH and then of usual places, once each; ITO_PEER_PYTHON alone
    where that is set."""
    if os.environ.get("ITO_PEER_PYTHON"):
        return [os.environ["ITO_PEER_PYTHON"]]
    folders = os.environ.get("PATH", "").split(":") + ["/opt/conda/bin", "/usr/local/bin", "/usr/bin"]
    found = []
    for folder in folders:
        found += [os.path.join(folder, "python3")] + sorted(glob.glob(os.path.join(folder, "python3.[0-9]*[0-9]")))
    found += sorted(glob.glob("/opt/*/bin/python3"))
    once = {}
    for path in found:
        if os.access(path, os.X_OK):
            once.setdefault(os.path.realpath(path), path)
    return list(once.values())


def python_with_torch(candidates, limit):
    """(the first that imports torch, torch's version), or (None, why not)."""
    clock = Clock(limit)
    for python in candidates:
        try:
            done = subprocess.run([python, "-c", "import torch; print(torch.__version__)"], capture_output=True,
                                  text=True, timeout=max(1, clock.left()))
        except (OSError, subprocess.TimeoutExpired):
            continue
        if done.returncode == 0:
            return python, done.stdout.strip()
    return None, f"none of {len(candidates)} python3 imports torch"


def c_compiler():
    """What Triton compiles its launchers with, or None."""
    return next(filter(None, map(shutil.which, [(os.environ.get("CC") or "cc").split()[0], "gcc", "clang"])), None)


def why_not(variant, left):
    """Why a variant is not begun, or None."""
    if variant in COMPILED and not c_compiler():
        return "no C compiler in PATH (cc, gcc or clang; CC names another), which it needs"
    if left < LEAST.get(variant, 0):
        return f"not begun: it needs {LEAST[variant]} s, {max(0, left):.0f} s are left; --only peer gives it more, and " \
               "goes on from what this run has compiled"
    return None


def peer_environment(context):
    """What is compiled stays in the results, so that a second call goes on from there."""
    caches = os.path.join(context.folder, "peer-cache")
    return dict(os.environ, TORCHINDUCTOR_CACHE_DIR=os.path.join(caches, "inductor"),
                TRITON_CACHE_DIR=os.path.join(caches, "triton"))


class Side:
    """One program of a race. What goes wrong with it is kept as its trouble, and the race goes on without it."""

    def __init__(self, name, command, env, context):
        self.name, self.clock, self.trouble, self.times = name, context.clock, None, {}
        self.server = Server(command, os.path.join(context.logs, f"peer-{name}"), env)

    def ask(self, what, limit):
        if self.trouble:
            return None
        try:
            answer = json.loads(self.server.ask(what, min(limit, self.clock.left())))
            if "seconds" not in answer:
                raise ValueError(answer.get("error", f"answered {answer}"))
            return answer
        except (EOFError, TimeoutError, ValueError) as error:
            self.trouble = f"{what}: {error}"
            return None

    def close(self):
        self.server.close()


def race(context, python, model, precision, commands):
    script = os.path.join(context.place.peer, "peer_torch_gpu.py")
    ours = Side("ito", [context.place.ito, "bench", "--serve", "--model", model, "--precision", precision], context.env,
                context)
    found, troubles = [], []
    try:
        for variant in VARIANTS:
            reason = why_not(variant, context.clock.left())
            if reason:
                troubles.append(f"{variant}: {reason}")
                continue
            theirs = Side(variant, [python, script, "--model", model, "--precision", precision, "--variant", variant],
                          peer_environment(context), context)
            try:
                for what in commands:
                    if context.clock.left() < 10:
                        theirs.trouble = theirs.trouble or f"{what}: no time was left"
                        break
                    first = theirs.ask(what, context.clock.left() - RACE if variant in COMPILED else SETUP)
                    if not first or not ours.ask(what, SETUP):
                        break
                    pairs = []
                    for _ in range(REPETITIONS):
                        a, b = ours.ask(what, ANSWER), theirs.ask(what, ANSWER)
                        if not a or not b:
                            break
                        pairs.append((a["seconds"], b["seconds"]))
                    if len(pairs) == REPETITIONS:
                        found.append(dict(summary(pairs), what=what, model=model, precision=precision, variant=variant,
                                          peer=first))
            finally:
                theirs.close()
            if theirs.trouble:
                troubles.append(f"{variant}: {theirs.trouble}")
            if ours.trouble:
                return found, troubles, f"ito-cuda: {ours.trouble}"
    finally:
        ours.close()
    return found, troubles, None


def summary(pairs):
    a, b = zip(*pairs)
    ratios = sorted(theirs / mine for mine, theirs in pairs)
    quarters = statistics.quantiles(ratios, n=4)
    spread = lambda times: {"median": statistics.median(times), "least": min(times), "most": max(times)}  # noqa: E731
    return {"ours_seconds": spread(a), "peer_seconds": spread(b), "ratio": quarters[1], "ratio_quartiles": quarters,
            "repetitions": len(pairs)}


def peer(context):
    if "none" in context.device:
        return Result(NO_DEVICE, context.device["none"])
    python, version = python_with_torch(pythons(), 60)
    if not python:
        return Result(SKIPPED, version)
    print(f"  torch {version}: {python}", flush=True)
    found, troubles, ours = [], [], None
    for model, precision, commands in RACES:
        raced = race(context, python, model, precision, commands)
        found, troubles, ours = found + raced[0], troubles + raced[1], ours or raced[2]
    for one in found:
        print("  {what} {model} {precision}, torch {variant}: ".format(**one) +
              f"ours {1e3 * one['ours_seconds']['median']:.3g} ms, peer {1e3 * one['peer_seconds']['median']:.3g} ms, "
              f"peer / ours {one['ratio']:.2f}", flush=True)
    details = {"python": python, "torch": version, "races": found, "troubles": troubles}
    best = {}
    for one in found:  # the peer's fastest variant counts
        key = one["what"]
        if key not in best or one["peer_seconds"]["median"] < best[key]["peer_seconds"]["median"]:
            best[key] = one
    text = "; ".join(f"{what}: peer / ours {one['ratio']:.2f} ({one['variant']})" for what, one in best.items())
    if ours:
        return Result(FAILED, f"{ours}; {text}", **details)
    if not found:
        blind = troubles and all(NO_CUDA in trouble for trouble in troubles)
        return Result(SKIPPED if blind else FAILED, "; ".join(troubles) or "nothing was raced", **details)
    return Result(PASSED, text + (f"; left out: {'; '.join(troubles)}" if troubles else ""), **details)
