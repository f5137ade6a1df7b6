# SPDX-License-Identifier: Apache-2.0
"""gpu_check: runs the parts one after the other, each with its own time limit, and writes what each found at once."""
import argparse
import contextlib
import json
import os
import shutil
import signal
import sys
import traceback

import packing
import parts_ito
import parts_peer
import parts_ranks
import parts_tests
import process
import recording
import rehearse
from context import Context
from libraries import Libraries
from place import Place
from results import FAILED, SKIPPED, TIMED_OUT, Report, Result, documentation_row, row, table

# Cheap and telling first: a card's time may end before the list does. Seconds: the limit, and what was estimated for an
# H100 before any had run it; docs/gpu.md has the same.
PARTS = [
    ("pack", parts_tests.pack, 60, 1),
    ("versions", parts_tests.versions, 60, 9),
    ("words", parts_tests.words, 60, 5),
    ("captured", parts_tests.captured, 60, 15),
    ("golden", parts_ito.golden, 60, 10),
    ("losses", parts_ito.losses, 120, 20),
    ("headlines", parts_ito.headlines, 90, 20),
    ("tune", parts_ito.tune, 90, 30),
    ("tests", parts_tests.tests, 200, 85),
    ("same_bits", parts_ito.same_bits, 150, 90),
    ("ranks", parts_ranks.ranks, 120, 3),
    ("ceilings", parts_ito.ceilings, 60, 12),
    ("benches", parts_ito.benches, 120, 45),
    ("peer", parts_peer.peer, 240, 170),
    ("sanitizer", parts_ito.sanitizer, 150, 60),
]
NAMES = [part[0] for part in PARTS]
EXPECTED = {part[0]: part[3] for part in PARTS}
# Seconds of a whole run; a part that has no time left is timed out. Where a command may take ten minutes this leaves what
# it takes to end a child that does not end, and to write the report.
TIME_LIMIT = 575


class Interrupted(Exception):
    pass


def say(text):
    print(f"gpu_check: {text}", flush=True)


def arguments():
    parser = argparse.ArgumentParser(prog="gpu_check.sh", description="Checks ito-cuda on this machine's GPU.",
                                     epilog="parts and their expected seconds: " +
                                     ", ".join(f"{name} {EXPECTED[name]}" for name in NAMES))
    parser.add_argument("--only", nargs="+", action="extend", metavar="PART", help="these parts alone")
    parser.add_argument("--skip", nargs="+", action="extend", metavar="PART", default=[], help="all parts but these")
    parser.add_argument("--out", default="gpu_check-results", metavar="DIR", help="where the results go")
    parser.add_argument("--time-limit", type=float, default=TIME_LIMIT, metavar="SECONDS", help="of all parts together")
    parser.add_argument("--part-limit", nargs="+", action="extend", metavar="PART=SECONDS", default=[],
                        help="in place of a part's own limit")
    parser.add_argument("--require-device", action="store_true", help="`no device` is a failure")
    parser.add_argument("--build", metavar="DIR", help="the build to check; default: build/cuda")
    parser.add_argument("--pack", nargs="?", const="", metavar="DIR", help="build a pack; default: build/gpu-pack")
    parser.add_argument("--rehearse", nargs="?", const="", metavar="DIR", help="run that pack apart from all else")
    parser.add_argument("--row", metavar="REPORT", help="print the row of docs/gpu.md's table for a report.json")
    args = parser.parse_args()
    for name in list(args.only or []) + args.skip + [limit.split("=")[0] for limit in args.part_limit]:
        for one in name.split(","):
            if one not in NAMES:
                parser.error(f"no part {one!r}; there are {', '.join(NAMES)}")
    split = lambda names: [one for name in names for one in name.split(",")]  # noqa: E731
    args.only, args.skip = split(args.only or NAMES), split(args.skip)
    args.chosen = [name for name in NAMES if name in args.only and name not in args.skip]
    if not args.chosen:
        parser.error("no part is left to run")
    args.limits = {part[0]: part[2] for part in PARTS}
    for text in args.part_limit:
        name, _, value = text.partition("=")
        try:
            args.limits[name] = float(value)
        except ValueError:
            parser.error(f"--part-limit {text!r}: expected PART=SECONDS")
    return args


def run_part(name, part, context, clock):
    """The part's result, whatever happens inside of it."""
    if clock.left() <= 0:
        return Result(TIMED_OUT, "not started: no time was left")
    context.clock = clock
    try:
        return part(context)
    except Interrupted:
        raise
    except Exception as error:  # a part that breaks is a failed part, not the end of the others
        return Result(FAILED, f"{type(error).__name__}: {error}", trace=traceback.format_exc())


def make_output_folder(out):
    """The results of the run before go away, and nothing else that is there. Returns the folder of the logs."""
    if os.path.exists(os.path.join(out, "report.json")):
        for name in NAMES + ["report"]:
            with contextlib.suppress(FileNotFoundError):
                os.remove(os.path.join(out, f"{name}.json"))
        for name in ("logs", "work"):
            shutil.rmtree(os.path.join(out, name), ignore_errors=True)
    logs = os.path.join(os.path.abspath(out), "logs")
    os.makedirs(logs, exist_ok=True)
    return logs


def check(place, args):
    missing = place.missing()
    if missing:
        say(missing)
        return 2
    if place.in_tree():
        try:
            recording.record(place.recording, os.path.join(place.build, "ito-cpu"), say)
        except RuntimeError as error:
            say(f"{error}; the parts that compare with it will fail")
    logs = make_output_folder(args.out)
    whole = process.Clock(args.time_limit)
    libraries = Libraries(logs, parts_peer.pythons())
    context = Context(place, libraries, os.path.abspath(args.out), logs)
    device = dict(context.device)
    smi = parts_tests.smi()
    device.update({"name": smi["name"], "driver": smi["driver_version"]} if smi and "name" in device else {})
    say(f"device: {device.get('name') or device.get('none') or device['trouble']}")
    for line in libraries.lines():
        print("  " + line, flush=True)
    report = Report(args.out, {"commit": place.commit(), "device": device, "libraries": libraries.named()}, args.chosen)
    say(f"expected: {sum(EXPECTED[name] for name in args.chosen)} s (limit {args.time_limit:.0f} s): " +
        ", ".join(f"{name} {EXPECTED[name]}" for name in args.chosen))
    interrupted = False
    for name, part, _, _ in PARTS:
        if name not in args.chosen:
            continue
        clock = process.Clock(args.limits[name], whole)
        try:
            result = Result(SKIPPED, "interrupted") if interrupted else run_part(name, part, context, clock)
        except Interrupted:
            interrupted, result = True, Result(FAILED, "interrupted")
        print(row(report.add(name, result, clock.seconds(), EXPECTED[name])), flush=True)
    print(table(report.value), flush=True)
    say(f"{os.path.join(args.out, 'report.json')}; {report.value['seconds']:.0f} s")
    return report.exit_code(args.require_device)


def make_pack(place, args):
    if not packing.find_nvcc():
        say("SKIPPED: no nvcc in PATH or /usr/local/cuda/bin, so no pack can be built")
        return 77
    target = os.path.abspath(args.pack or os.path.join(place.root, "build/gpu-pack"))
    try:
        content = packing.pack(place, target, say)
    except (packing.PackError, RuntimeError, OSError) as error:
        say(f"--pack: {error}")
        return 1
    say(f"{target}: {content['size'] / 2 ** 20:.1f} MiB, {', '.join(content['architectures'])}; needs "
        f"{', '.join(content['needed'])} (glibc {content['glibc']} or newer)")
    return 0


def stop(number, _):
    process.kill_all()  # here already: what the part waits for may be one of them
    raise Interrupted(process.signal_name(number))


def main():
    args = arguments()
    if args.row:
        with open(args.row) as file:
            print(documentation_row(json.load(file)))
        return 0
    place = Place(args.build)
    if (args.pack is not None or args.rehearse is not None) and not place.in_tree():
        say("--pack and --rehearse are for the source tree; this is a pack")
        return 2
    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    if args.pack is not None:
        return make_pack(place, args)
    if args.rehearse is not None:
        pack = os.path.abspath(args.rehearse or os.path.join(place.root, "build/gpu-pack"))
        return rehearse.rehearse(place, pack, say)
    return check(place, args)


if __name__ == "__main__":
    sys.exit(main())
