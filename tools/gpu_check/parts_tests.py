# SPDX-License-Identifier: Apache-2.0
"""The parts that need no run of ito: what is here (pack, versions) and the device tests."""
import hashlib
import json
import os
import re
import shutil
import subprocess

import googletest
from results import BAD, FAILED, NO_DEVICE, PASSED, TIMED_OUT, Result

WORDS = re.compile(r"^Words")
RANKS = re.compile(r"^NcclAlone")
CAPTURED = re.compile(r"CapturedEqualsEager|CaptureEqualsEager|ALoopRunsItsTurns")
AGAIN = 16  # failed tests that are run again alone


def pack(context):
    """The files of the pack are those that were packed. In the tree: that the recording is there."""
    place = context.place
    if place.in_tree():
        place.load_recording()
        return Result(PASSED, f"not a pack: the build in {place.build}")
    wrong, size = [], 0
    for name, digest in place.pack["files"].items():
        path = os.path.join(place.root, name)
        try:
            with open(path, "rb") as file:
                data = file.read()
        except OSError as error:
            wrong.append(f"{name}: {error.strerror}")
            continue
        size += len(data)
        if hashlib.sha256(data).hexdigest() != digest:
            wrong.append(f"{name}: differs from what was packed")
    if wrong:
        return Result(FAILED, f"{len(wrong)} of {len(place.pack['files'])} files: {wrong[0]}", wrong=wrong)
    inspected = context.ito(["inspect", os.path.join(place.recording, "model")], 60, "pack-inspect")
    if inspected.code != 0:
        return Result(FAILED, f"the packed model: {inspected.ending()}: {inspected.last_line()}",
                      runs=[inspected.record()])
    return Result(PASSED, f"{len(place.pack['files'])} files as packed, {size / 2 ** 20:.1f} MiB, commit "
                          f"{place.pack['commit']}, {', '.join(place.pack['architectures'])}")


def smi():
    """What nvidia-smi says of the first card; {} where there is none."""
    fields = ["name", "driver_version", "memory.total", "compute_cap", "clocks.max.sm", "power.limit"]
    if not shutil.which("nvidia-smi"):
        return {}
    try:
        done = subprocess.run(["nvidia-smi", f"--query-gpu={','.join(fields)}", "--format=csv,noheader"],
                              capture_output=True, text=True, timeout=20)
    except (OSError, subprocess.TimeoutExpired):
        return {}
    rows = done.stdout.splitlines()
    return dict(zip(fields, [cell.strip() for cell in rows[0].split(",")])) if done.returncode == 0 and rows else {}


def versions(context):
    """The card, the driver, the libraries, and what ito itself says that it computes with."""
    details = {"device": context.device, "smi": smi(), "libraries": context.libraries.found,
               "searched": context.libraries.searched}
    outcome = context.ito(["bench", "ceilings", "--largest", "64", "--repetitions", "1", "--json"], 60, "versions-ito")
    trouble = context.judge(outcome)
    if trouble:
        trouble.details.update(details)
        return trouble
    details["ito"] = json.loads(outcome.out.splitlines()[-1])
    absent = [name for name in context.libraries.absent() if name not in ("driver", "NCCL")]
    summary = f"{details['ito']['device']}; {', '.join(context.libraries.named())}; {details['ito']['kernels']}"
    if absent:
        summary = f"NOT FOUND: {', '.join(absent)}, so portable kernels; {summary}"
    return Result(PASSED, summary, **details)


def run_tests(context, chosen, suite_limit):
    """The suites in `chosen`; what failed is run again in two other ways while there is time."""
    tests = googletest.Tests(context.place.tests, context.env, context.logs)
    if "none" in context.device:  # once, to see that the program itself says so
        suite, names = next(iter(chosen.items()))
        outcome = context.run([context.place.tests, f"--gtest_filter={suite}.{names[0]}"], 60, "tests-device")
        if outcome.code == 77 and context.device["none"] in outcome.text:
            return Result(NO_DEVICE, context.device["none"])
        return context.judge(outcome) or Result(FAILED, "tests.cuda ran a test after it had found no device")
    suites = tests.suites(chosen, suite_limit, context.clock)
    total = sum(sum(suite["count"].values()) for suite in suites)
    passed = sum(suite["count"]["passed"] for suite in suites)
    skipped = sum(suite["count"]["skipped"] for suite in suites)
    bad = [item for suite in suites for item in suite["bad"]]
    skips = f", {skipped} skipped" if skipped else ""
    if not bad:
        return Result(PASSED, f"{passed} of {total} tests in {len(suites)} suites passed{skips}", suites=suites)
    again = {}
    if context.clock.left() > 5:
        again = tests.again([item["test"] for item in bad][:AGAIN], suite_limit, context.clock)
        for item in bad:
            item["again"] = again.get(item["test"], {})
    portable = [ways["portable"]["status"] for ways in again.values()]
    hint = f"; on the portable kernels {portable.count('passed')} of {len(portable)} pass" if portable else ""
    names = ", ".join(item["test"] for item in bad[:6]) + (", ..." if len(bad) > 6 else "")
    status = FAILED if any(item["status"] == "failed" for item in bad) else TIMED_OUT
    assert status in BAD
    return Result(status, f"{len(bad)} of {total} tests failed{skips}: {names}{hint}", bad=bad, suites=suites)


def of_tests(select, suite_limit):
    """A part that runs the tests for which select(suite, test) holds."""
    def part(context):
        everything = googletest.list_tests(context.place.tests, 60, os.path.join(context.logs, "list"), context.env)
        chosen = {suite: [test for test in names if select(suite, test)] for suite, names in everything.items()}
        chosen = {suite: names for suite, names in chosen.items() if names}
        if not chosen:
            return Result(FAILED, "tests.cuda holds no such test")
        return run_tests(context, chosen, suite_limit)
    return part


words = of_tests(lambda suite, test: WORDS.search(suite), 40)
nccl_alone = of_tests(lambda suite, test: RANKS.search(suite), 40)
tests = of_tests(lambda suite, test: not WORDS.search(suite) and not RANKS.search(suite), 180)
captured = of_tests(lambda suite, test: CAPTURED.search(test), 40)
