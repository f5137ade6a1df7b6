#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Static bars of the CUDA kernels: what the compiler made of them, held against a committed table, without a GPU.

  python3 tools/static_bars check FILE... [--write] [--table docs/static_bars.csv] [--config tools/static_bars/static_bars.json]
  python3 tools/static_bars figures [--counts-of build/ito-cpu] [--check]

FILE is an archive, a fat object or a cubin. Bars that hold for every kernel and architecture: no stack and no load or
store of local memory (a spilled register or an array in memory), but for the exceptions that the configuration names
with a reason. Bars against the table, for the architectures that the configuration lists: registers (within a slack),
resident blocks a multiprocessor, tensor-core instructions, asynchronous copies, ldmatrix, the width of global loads
and stores; a kernel that the table lacks or that the files lack. One line a violation. --write renews the table first.

figures joins the table with the counts of `ito bench kernels --counts` to docs/kernel_figures.md (figures.py);
--counts-of renews those counts by that program first, --check only says whether the page is what it would make.

Block size and dynamic shared memory are those of the launchers; where they depend on the shape, the configuration
says for which one. Exit status: 0 all bars hold; 1 one does not; 2 unusable input; 77 the compiler is not the table's,
so that only the bars without a table could be held.
"""
import argparse
import csv
import fnmatch
import json
import pathlib
import subprocess
import sys

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path.insert(0, str(ROOT / "tools"))

from static_bars import cubin, figures, names, occupancy, sass  # noqa: E402
from static_bars.launches import Launches  # noqa: E402

COLUMNS = ("file", "kernel", "arch", "registers", "stack", "ldl", "stl", "shared", "constant", "bounds", "block",
           "dynamic", "resident", "mma", "wgmma", "cp_async", "ldmatrix", "loads", "stores")
NUMBERS = COLUMNS[3:12] + COLUMNS[13:17]
COMPILER_LINE = "# nvcc "
DIFFERENT_COMPILER = 77


def base_of(arch):
    return arch.rstrip("abcdef")


def widths_of(counts, operation):
    return {bits: n for (name, bits), n in (c for c in counts.items() if isinstance(c[0], tuple)) if name == operation}


def row_of(kernel, key, launches):
    counts = sass.count(kernel.code)
    block, dynamic = launches.of(key, kernel.max_threads)
    resident = {}
    if block is not None and dynamic is not None:
        resident = occupancy.resident_on_devices(kernel.arch, kernel.registers, block, kernel.shared + dynamic)
    return {"file": kernel.file, "kernel": key, "arch": kernel.arch, "registers": kernel.registers,
            "stack": kernel.stack, "ldl": counts["LDL"], "stl": counts["STL"], "shared": kernel.shared,
            "constant": kernel.constant, "bounds": kernel.max_threads, "block": block, "dynamic": dynamic,
            "resident": resident, "mma": counts["HMMA"] + counts["IMMA"], "wgmma": counts["HGMMA"],
            "cp_async": counts["LDGSTS"], "ldmatrix": counts["LDSM"], "loads": widths_of(counts, "LDG"),
            "stores": widths_of(counts, "STG")}


def identity(row):
    return row["file"], row["kernel"], row["arch"]


def measure(files, launches):
    """({identity: row}, {compiler}) of every kernel in the files."""
    kernels = [kernel for file in files for kernel in cubin.kernels_of(file)]
    if not kernels:
        raise cubin.Unreadable(f"{', '.join(map(str, files))}: no kernel inside")
    keys = names.keys_of(kernels)
    rows = {}
    for kernel in kernels:
        row = row_of(kernel, keys[kernel.file, kernel.symbol], launches)
        if rows.setdefault(identity(row), row) != row:
            raise cubin.Unreadable(f"{kernel.file}.cu: two different kernels are {row['kernel']} for {kernel.arch}; "
                                   "rename one, or give each file once")
    return rows, {kernel.compiler for kernel in kernels}


def pairs_text(pairs, sign, order):
    return " ".join(f"{key}{sign}{pairs[key]}" for key in order(pairs))


def read_table(path):
    """({identity: row}, the compiler's version); an absent table is empty."""
    if not path.exists():
        return {}, None
    lines = path.read_text().splitlines()
    compiler = next((line.removeprefix(COMPILER_LINE) for line in lines if line.startswith(COMPILER_LINE)), None)
    rows = {}
    for row in csv.DictReader(line for line in lines if not line.startswith("#")):
        try:
            row.update({name: int(row[name]) for name in NUMBERS})
            row["resident"] = {device: int(n) for device, n in (pair.split(":") for pair in row["resident"].split())}
            for name in ("loads", "stores"):
                row[name] = {int(bits): int(n) for bits, n in (pair.split("x") for pair in row[name].split())}
        except (KeyError, ValueError, TypeError, AttributeError) as error:
            raise cubin.Unreadable(f"{path}: a row does not read ({error}): {row}; renew the table") from error
        rows[identity(row)] = row
    return rows, compiler


def write_table(path, rows, compiler):
    with open(path, "w", newline="") as out:
        out.write("# Made by python3 tools/static_bars check --write; what it is: docs/performance.md, static bars.\n")
        out.write(f"{COMPILER_LINE}{compiler}\n")
        table = csv.DictWriter(out, COLUMNS, lineterminator="\n")
        table.writeheader()
        for key in sorted(rows):
            row = dict(rows[key])
            row["resident"] = pairs_text(row["resident"], ":", list)
            for name in ("loads", "stores"):
                row[name] = pairs_text(row[name], "x", lambda widths: sorted(widths, reverse=True))
            table.writerow(row)


def narrowed(was, now):
    """Whether accesses moved to a narrower width, or the widest form is gone."""
    for width in (w for w in was if w >= 64):
        wide_was, wide_now = (sum(n for w, n in side.items() if w >= width) for side in (was, now))
        if wide_now < wide_was and sum(now.values()) - wide_now > sum(was.values()) - wide_was:
            return True
    return bool(was and now) and max(was) >= 64 and max(now) < max(was)


def resident_threads(row, device):
    return row["resident"][device] * row["block"]


def compare(was, now, slack):
    """(violations, notes) of one kernel against its row of the table."""
    worse, better = [], []
    if now["registers"] > was["registers"] + slack:
        worse.append(f"{was['registers']} registers became {now['registers']} (slack {slack})")
    elif now["registers"] < was["registers"]:
        better.append(f"{was['registers']} registers became {now['registers']}")
    for device in sorted(was["resident"].keys() & now["resident"].keys()):
        text = (f"{was['resident'][device]} resident blocks of {was['block']} threads on {device} became "
                f"{now['resident'][device]} of {now['block']}")
        if resident_threads(now, device) < resident_threads(was, device):
            worse.append(text)
        elif resident_threads(now, device) > resident_threads(was, device):
            better.append(text)
    for name, title in (("mma", "mma instructions"), ("wgmma", "wgmma instructions"),
                        ("cp_async", "asynchronous copies")):
        if now[name] < was[name]:
            worse.append(f"{was[name]} {title} became {now[name]}")
        elif now[name] > was[name]:
            better.append(f"{was[name]} {title} became {now[name]}")
    if was["ldmatrix"] and not now["ldmatrix"]:
        worse.append(f"{was['ldmatrix']} ldmatrix became 0")
    for name in ("loads", "stores"):
        def text(side):
            return pairs_text(side[name], " bits x ", lambda widths: sorted(widths, reverse=True)) or "none"
        if narrowed(was[name], now[name]):
            worse.append(f"global {name} are narrower: {text(was)} became {text(now)}")
        elif narrowed(now[name], was[name]):
            better.append(f"global {name} are wider: {text(was)} became {text(now)}")
    return worse, better


def local_memory(row, exceptions):
    """The violation of a kernel that uses local memory, or None."""
    if not (row["stack"] or row["ldl"] or row["stl"]):
        return None
    allowed = next((e for pattern, e in exceptions.items() if fnmatch.fnmatchcase(row["kernel"], pattern)), None)
    if allowed and row["stack"] <= allowed["bytes"] and allowed["reason"]:
        return None
    limit = f"{allowed['bytes']} bytes are allowed" if allowed else "0 expected"
    return (f"{row['stack']} bytes of stack, {row['stl']} local stores and {row['ldl']} local loads: spilled registers "
            f"or an array in local memory; {limit}")


class Report:
    def __init__(self, renew):
        self.renew, self.violations = renew, 0

    def violation(self, row_identity, text, advice=None):
        file, kernel, arch = row_identity
        self.violations += 1
        print(f"static bars: {kernel} ({file}.cu, {arch}): {text}; {advice or 'if meant: ' + self.renew}")

    def note(self, text):
        print(f"static bars: note: {text}")


def hold_absolute_bars(rows, config, report):
    for key, row in rows.items():
        text = local_memory(row, config["local_memory"])
        if text:
            report.violation(key, text, "free registers, or name it with a reason under local_memory in "
                             "tools/static_bars/static_bars.json")
        if row["block"] is None or row["dynamic"] is None:
            report.violation(key, "the launcher's block size or dynamic shared memory could not be read",
                             "state it under launches in tools/static_bars/static_bars.json")


def hold_configuration(rows, config, report):
    """No pattern of the configuration may outlive its kernel."""
    for section in ("launches", "local_memory"):
        for pattern in config[section]:
            if not any(fnmatch.fnmatchcase(row["kernel"], pattern) for row in rows.values()):
                report.violation(("*", pattern, "all"), f"no kernel has this name, which {section} gives",
                                 "correct it in tools/static_bars/static_bars.json")


def hold_table(rows, table, config, whole, report):
    """The rows of the listed architectures against the table; `whole`: the files hold all kernels there are."""
    files = {row["file"] for row in rows.values()}
    for arch in config["architectures"]:
        if all(base_of(row["arch"]) != arch for row in rows.values()):
            report.violation(("*", "all kernels", arch), "no code for this architecture",
                             "build with it in CMAKE_CUDA_ARCHITECTURES")
    for key, row in rows.items():
        if key not in table:
            report.violation(key, "is not in the table")
        elif row["block"] is not None and row["dynamic"] is not None:
            worse, better = compare(table[key], row, config["register_slack"])
            for text in worse:
                report.violation(key, text)
            for text in better:
                report.note(f"{row['kernel']} ({row['file']}.cu, {row['arch']}): {text}; to hold it, {report.renew}")
    for key, row in table.items():
        if key not in rows and (whole or row["file"] in files):
            report.violation(key, "is in the table but not in the files")


def print_summary(rows):
    most = max(rows.values(), key=lambda row: row["registers"])
    print(f"static bars: {len(rows)} kernels and architectures; most registers: {most['registers']} in "
          f"{most['kernel']} for {most['arch']}")
    shares = [(resident_threads(row, device) / occupancy.LIMITS[device].threads, device, row)
              for row in rows.values() for device in row["resident"] if row["block"] >= occupancy.WARP]
    if shares:
        share, device, row = min(shares, key=lambda item: item[0])
        print(f"static bars: lowest occupancy: {share:.0%} of the threads of {device} in {row['kernel']}")


def check(arguments):
    config = json.loads(arguments.config.read_text())
    rows, compilers = measure(arguments.files, Launches(ROOT, config))
    named = str(arguments.files[0]) if len(arguments.files) == 1 else "FILE..."
    command = f"python3 tools/static_bars check {named} --write"
    report = Report(f"renew the table with {command}")
    if len(compilers) > 1:
        raise cubin.Unreadable(f"objects of several compilers ({', '.join(sorted(compilers))}); build them anew")
    compiler = compilers.pop()
    whole = any(file.suffix == ".a" for file in arguments.files)
    covered = {key: row for key, row in rows.items() if base_of(row["arch"]) in config["architectures"]}
    hold_absolute_bars(rows, config, report)
    if whole:
        hold_configuration(rows, config, report)
    table, table_compiler = read_table(arguments.table)
    if arguments.write:
        files = {row["file"] for row in rows.values()}
        kept = {} if whole else {key: row for key, row in table.items() if row["file"] not in files}
        table, table_compiler = kept | covered, compiler
        write_table(arguments.table, table, compiler)
        print(f"static bars: {arguments.table} has {len(table)} rows")
    if not table:
        raise cubin.Unreadable(f"{arguments.table}: no table there; make it with {command}")
    comparable = table_compiler in (None, compiler)
    if comparable:
        hold_table(covered, table, config, whole, report)
    print_summary(rows)
    if report.violations:
        print(f"static bars: {report.violations} violations", file=sys.stderr)
        return 1
    if not comparable:
        print(f"static bars: SKIPPED: the table is of nvcc {table_compiler}, the files are of {compiler}: only the "
              f"bars without a table were held; to move to this compiler, {report.renew}")
        return DIFFERENT_COMPILER
    return 0


def renew_figures(arguments):
    counts_file, page_file = arguments.folder / "kernel_counts.json", arguments.folder / "kernel_figures.md"
    if arguments.counts_of:
        counts_file.write_text(figures.counts_text(figures.counts_of(arguments.counts_of)))
    table, _ = read_table(arguments.folder / "static_bars.csv")
    page = figures.page(json.loads(counts_file.read_text()), table, json.loads(arguments.config.read_text()))
    if not arguments.check:
        page_file.write_text(page)
    elif not page_file.exists() or page_file.read_text() != page:
        print(f"static bars: {page_file} is not of today's table and counts: renew it with python3 tools/static_bars "
              "figures", file=sys.stderr)
        return 1
    return 0


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0], epilog="Details: the head of this file.")
    verbs = parser.add_subparsers(required=True)
    verb = verbs.add_parser("check", help="hold the bars, or renew the table with --write")
    verb.add_argument("files", nargs="+", type=pathlib.Path, metavar="FILE")
    verb.add_argument("--write", action="store_true", help="renew the table from the files")
    verb.add_argument("--table", type=pathlib.Path, default=ROOT / "docs/static_bars.csv")
    verb.add_argument("--config", type=pathlib.Path, default=ROOT / "tools/static_bars/static_bars.json")
    verb.set_defaults(run=check)
    verb = verbs.add_parser("figures", help="write the page of every kernel's figures")
    verb.add_argument("--counts-of", type=pathlib.Path, metavar="ITO", help="renew the counts by this program first")
    verb.add_argument("--check", action="store_true", help="write nothing; status 1 where the page would change")
    verb.add_argument("--folder", type=pathlib.Path, default=ROOT / "docs", help="of static_bars.csv and the page")
    verb.add_argument("--config", type=pathlib.Path, default=ROOT / "tools/static_bars/kernel_figures.json")
    verb.set_defaults(run=renew_figures)
    arguments = parser.parse_args()
    try:
        return arguments.run(arguments)
    except (cubin.Unreadable, figures.Misfit, subprocess.CalledProcessError, OSError, json.JSONDecodeError) as error:
        print(f"static bars: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
