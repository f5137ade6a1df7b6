#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Stands in for ito-cuda, tests.cuda, a peer's python3, compute-sanitizer, nvidia-smi and mpirun in tests of tools/gpu_check.sh, by the name under which it is
called. scenario.json in the folder bin says how each behaves; what it does not mention is well."""
import json
import os
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
NO_DEVICE = "no NVIDIA driver is installed; install one for CUDA 13.0, or run on the CPU"
with open(os.path.join(HERE, "..", "bin", "scenario.json")) as file:
    SCENARIO = json.load(file)
sys.path.insert(0, os.path.join(HERE, "..", "gpu_check"))

import tensors  # noqa: E402

PORTABLE = os.environ.get("ITO_PORTABLE_KERNELS") == "1"


def hang():
    time.sleep(1000)


def crash():
    os.kill(os.getpid(), signal.SIGSEGV)


def behave(how):
    """A test's or command's fate: well, fail, crash, hang; "X unless portable" is well on the portable kernels."""
    fate, _, exception = how.partition(" unless ")
    if exception == "portable" and PORTABLE:
        return "well"
    {"hang": hang, "crash": crash}.get(fate, lambda: None)()
    return fate


def run_tests(arguments):
    suites = SCENARIO.get("suites", {"Words": {"Shuffle": "well"}, "Conv/0": {"Forward": "well"},
                                     "Gemm": {"CapturedEqualsEager": "well"},
                                     "NcclAlone": {"MovesBytes": "well"}})
    if "--gtest_list_tests" in arguments:
        for suite, tests in suites.items():
            print(f"{suite}.  # TypeParam = float")
            for test in tests:
                print(f"  {test}")
        return 0
    if not SCENARIO.get("device", True):
        print(f"SKIPPED: {NO_DEVICE}")
        return 77
    print("device: Fake 9000", flush=True)
    chosen = [word for word in arguments if word.startswith("--gtest_filter=")][0].split("=", 1)[1].split(":")
    failed = False
    for suite, tests in suites.items():
        for test, how in tests.items():
            name = f"{suite}.{test}"
            if name not in chosen:
                continue
            print(f"[ RUN      ] {name}", flush=True)
            fate = behave(how)
            if fate == "fail":
                print(f"test.cpp:7: Failure\nExpected equality in {name}")
            verdict = {"fail": "  FAILED ", "skip": "  SKIPPED"}.get(fate, "       OK")
            print(f"[{verdict} ] {name}{', where TypeParam = float' if fate == 'fail' else ''} (3 ms)", flush=True)
            failed |= fate == "fail"
    if SCENARIO.get("crash_at_exit"):
        crash()
    return 1 if failed else 0


def option(arguments, name, usual=None):
    return arguments[arguments.index(name) + 1] if name in arguments else usual


def run_ito(arguments):
    how = SCENARIO.get("ito", {}).get(arguments[0], "well")
    if how == "refuse":
        print("ito: --data: there is no such file", file=sys.stderr)
        return 2
    if arguments[0] == "inspect":
        return 0
    if not SCENARIO.get("device", True):
        print(f"ito: {NO_DEVICE}", file=sys.stderr)
        return 2
    fate = behave(how)
    if fate == "fail":
        print("ito: CUDA error: an illegal memory access", file=sys.stderr)
        return 1
    out = option(arguments, "--out", option(arguments, "--output"))
    precision = option(arguments, "--precision", "fp32")
    if arguments[0] == "train":
        steps = int(option(arguments, "--steps"))
        off = SCENARIO.get("loss_error", {}).get(precision, 0) if not PORTABLE else 0
        wrong = SCENARIO.get("micro_error", 0) if option(arguments, "--micro-batch") == "16" else 0
        wrong = SCENARIO.get("eager_error", wrong) if "--eager" in arguments else wrong
        wrong = SCENARIO.get("rank_error", {}).get(os.environ.get("FAKE_RANKS"), wrong)
        weights = os.path.join(out, f"checkpoint-{steps:06d}/unet")
        os.makedirs(weights)
        tensors.write(os.path.join(weights, "diffusion_pytorch_model.safetensors"),
                      {"w": ([2, 2], [1, 2, 3, 4 + wrong])})
        with open(os.path.join(out, "metrics.jsonl"), "w") as file:
            for step in range(steps):
                file.write(json.dumps({"step": step + 1, "loss": 1 / (step + 1) * (1 + off)}) + "\n")
    elif arguments[0] == "sample":
        os.makedirs(out)
        wrong = SCENARIO.get("sample_error", 0) if option(arguments, "--batch") == "3" else 0
        wrong = SCENARIO.get("eager_error", wrong) if "--eager" in arguments else wrong
        tensors.write(os.path.join(out, "samples.safetensors"), {"samples": ([4, 1], [0, 1, 2 + wrong, 3])})
    elif arguments[0] == "predict":
        tensors.write(out, {"prediction": ([2], [1.0 + SCENARIO.get("prediction_error", 0), -2.0])})
    elif "--serve" in arguments:
        serve("ito")
    elif "--tune" in arguments:
        with open(option(arguments, "--tune"), "w") as file:
            file.write("{}")
        ours = {"refused": SCENARIO["refused"]} if "refused" in SCENARIO else {"seconds": 1e-4}
        print(json.dumps({"device": "Fake 9000", "kernels": [
            {"layer": "forward 4x4x8 to 8", "kernel": "cudnn:engine 1", "refused": "it gave other values"},
            dict({"layer": "forward 4x4x8 to 8", "kernel": "sm80"}, **ours)]}))
    elif arguments[1] == "ceilings":
        rate = {"median": 3e12, "least": 2e12, "most": 4e12}
        print(json.dumps({"device": "Fake 9000", "kernels": "cuda, fake", "copy": {"bytes_moved_per_second": rate},
                          "products": [{"type": "bf16", "flop_per_second": rate}]}))
    else:
        print(json.dumps({"what": arguments[1], "model": option(arguments, "--model"), "precision": precision,
                          "batch": int(option(arguments, "--batch")), "seconds": 0.001, "images_per_second": 1000,
                          "bytes_beside_allocations": 300 << 20}))
    return 0


def serve(name):
    print("a library's greeting", flush=True)
    for line in sys.stdin:
        if SCENARIO.get("serve", {}).get(name) == "crash":
            crash()
        print(json.dumps({"what": line.strip(), "seconds": 0.002 if name == "peer" else 0.001,
                          "caches": [os.environ.get("TORCHINDUCTOR_CACHE_DIR"), os.environ.get("TRITON_CACHE_DIR")]}),
              flush=True)


def run_python(arguments):
    """The peer's python3: imports torch, and has one variant that cannot be had."""
    if arguments[0] == "-c":
        print("2.9.0" if "torch" in arguments[1] else "[]")
        return 0 if SCENARIO.get("torch", True) else 1
    if option(arguments, "--variant") == "compile":
        print("no C compiler", file=sys.stderr)
        return 1
    serve("peer")
    return 0


def run_sanitizer(arguments):
    """Says how it was called; runs nothing."""
    print(" ".join(arguments), "portable" if PORTABLE else "with libraries")
    return 0


def run_smi(arguments):
    if arguments != ["-L"]:
        return 9
    for card in range(SCENARIO.get("cards", 1)):
        print(f"GPU {card}: Fake 9000 (UUID: GPU-{card})")
    return 0


def run_mpirun(arguments):
    """Starts what it was given once, which then knows how many it stands for."""
    at = arguments.index("-n")
    if "-c" in arguments and SCENARIO.get("mpi") == "none":
        print("OSError: libmpi.so.40: cannot open shared object file", file=sys.stderr)
    if "-c" in arguments:
        return 1 if SCENARIO.get("mpi") == "none" else 0
    return subprocess.run(arguments[at + 2:], env=dict(os.environ, FAKE_RANKS=arguments[at + 1])).returncode


def main():
    name, arguments = os.path.basename(sys.argv[0]), sys.argv[1:]
    return {"ito-cuda": run_ito, "tests.cuda": run_tests, "fake-python3": run_python,
            "compute-sanitizer": run_sanitizer, "nvidia-smi": run_smi, "mpirun": run_mpirun}[name](arguments)


if __name__ == "__main__":
    sys.exit(main())
