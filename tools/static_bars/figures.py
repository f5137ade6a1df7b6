# SPDX-License-Identifier: Apache-2.0
"""Figures of every kernel as one page: bytes and operations of the cases that launch it, and what it was compiled to.

Joined from `ito bench kernels --counts` (docs/kernel_counts.json), docs/static_bars.csv and kernel_figures.json, which
says which kernels a case may launch. That a library may run a case instead is not counted here. A kernel that no case
launches has its reason there; one without either, and a pattern that outlived its kernel, is an error.
"""
import fnmatch
import json
import subprocess

PRECISIONS = {"fp32": ("float", "4"), "bf16": ("bf16", "8")}  # the type in a kernel's name, and its strip of 16 bytes
IMAGES = 128
BYTES_PER_SECOND, FLOP_PER_SECOND = 3.0e12, {"bf16": 790e12, "fp32": 60e12, "fp64": 30e12}
COMPUTED_IN = {"linear": "fp32", "mixture": "fp64"}  # whatever the network's type
DEVICES = {"sm_80": "sm_80", "sm_90a": "sm_90"}  # of an architecture's code, the device whose occupancy is shown

HEAD = """# Figures of the kernels

Made by `python3 tools/static_bars figures`; do not edit. Nothing here was timed. Bytes and operations are those of
`ito bench kernels --counts` at sizes of ddpm-cifar10, jit-b-16 and dit-xl-2 and {images} images: every tensor once, a
multiply and an add as two. The floor is the larger of bytes at {bandwidth:.1f} TB/s and operations at {bf16:.0f} TFLOP/s in bf16,
{fp32:.0f} in fp32 (linear layers always) and {fp64:.0f} in fp64 (mixtures always), assumed of an H100: no measurement. A case may
launch each of the kernels that name it, or a library's in their place: which, the
[kernel table](../kernels/seams/kernel_table.h) and the layer's rule say.

"""


class Misfit(Exception):
    """The sources do not fit together; the text is one line."""


def counts_of(ito):
    counts = {"images": IMAGES}
    for precision in PRECISIONS:
        command = [ito, "bench", "kernels", "--counts", "--json", "--batch", str(IMAGES), "--precision", precision]
        told = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        counts[precision] = json.loads(told)["counted"]
    return counts


def counts_text(counts):
    """JSON with a line a case."""
    lists = []
    for precision in PRECISIONS:
        lines = ",\n".join("  " + json.dumps(case, sort_keys=True) for case in counts[precision])
        lists.append(f' "{precision}": [\n{lines}\n ]')
    return f'{{\n "images": {counts["images"]},\n' + ",\n".join(lists) + "\n}\n"


def matching(kernels, patterns):
    return [kernel for kernel in kernels if any(fnmatch.fnmatchcase(kernel, pattern) for pattern in patterns)]


def place_kernels(counts, kernels, config):
    """([(precision, case, its kernels)], {kernel: reason}) of kernels "file/name"."""
    cases, launched, used = [], set(), set()
    for precision, (type_name, strip) in PRECISIONS.items():
        for case in counts[precision]:
            own = []
            for i, entry in enumerate(config["launched"]):
                known = {"op": case["op"], "pass": case["pass"], "precision": precision, "sizes": case["sizes"]}
                if not all(fnmatch.fnmatchcase(known[key], entry[key]) for key in known):
                    continue
                words = {"{type}": type_name, "{strip}": strip, "{pass}": case["pass"]}
                for pattern in entry["kernels"]:
                    name = pattern
                    for word, value in words.items():
                        name = name.replace(word, value)
                    found = matching(kernels, name.split("|"))
                    if found:
                        used.add((i, pattern))
                    own += [kernel for kernel in found if kernel not in own]
            if not own:
                raise Misfit(f"{case['op']} {case['pass']} of {case['sizes']}, {precision}: launches no kernel; name "
                             "its kernels under launched in tools/static_bars/kernel_figures.json")
            cases.append((precision, case, own))
            launched.update(own)
    for i, entry in enumerate(config["launched"]):
        for pattern in entry["kernels"]:
            if (i, pattern) not in used:
                raise Misfit(f"{pattern}: no case launches a kernel of this name, which launched gives {entry['op']}; "
                             "correct it in tools/static_bars/kernel_figures.json")
    reasons = {}
    for entry in config["elsewhere"]:
        for pattern in entry["kernels"]:
            found = matching(kernels, pattern.split("|"))
            if not found or not entry["reason"]:
                raise Misfit(f"{pattern}: no kernel has this name, which elsewhere gives, or there is no reason; "
                             "correct it in tools/static_bars/kernel_figures.json")
            for kernel in found:
                if kernel not in launched:
                    reasons.setdefault(kernel, entry["reason"])
    for kernel in kernels:
        if kernel not in launched and kernel not in reasons:
            raise Misfit(f"{kernel}: no case launches it; name it under launched or, with a reason, under elsewhere in "
                         "tools/static_bars/kernel_figures.json")
    return cases, reasons


def in_millions(value):
    return f"{value / 1e6:,.2f}"


def case_row(number, precision, case):
    rate = FLOP_PER_SECOND[COMPUTED_IN.get(case["op"], precision)]
    times = {"bytes": case["bytes"] / BYTES_PER_SECOND, "operations": case["flop"] / rate}
    bound = max(times, key=times.get)
    return (f"| {number} | {case['op']} {case['pass']} | {case['images']} of {case['sizes']} | {precision} | "
            f"{in_millions(case['bytes'])} | {in_millions(case['flop'])} | {case['flop'] / case['bytes']:.1f} | "
            f"{1e6 * times[bound]:.2f} | {bound} |\n")


def both(rows, value):
    """A figure of the architectures that there are, once where they agree."""
    figures = [str(value(row)) for row in rows]
    return figures[0] if len(set(figures)) == 1 else " / ".join(figures)


def resident_threads(row):
    blocks = row["resident"].get(DEVICES[row["arch"]])
    return "" if blocks is None else blocks * row["block"]


def kernel_row(kernel, rows, last):
    name = kernel.split("/", 1)[1].replace("|", "\\|")
    return (f"| `{name}` | {kernel.split('/')[0]}.cu | {both(rows, lambda r: r['registers'])} | "
            f"{both(rows, lambda r: r['shared'] + r['dynamic'])} | {both(rows, resident_threads)} | "
            f"{both(rows, lambda r: r['mma'] + r['wgmma'])} | "
            f"{both(rows, lambda r: r['stack'] + r['ldl'] + r['stl'])} | {last} |\n")


def numbers_text(numbers):
    """1, 2, 3, 5 as 1-3, 5."""
    runs = []
    for number in numbers:
        if runs and number == runs[-1][1] + 1:
            runs[-1][1] = number
        else:
            runs.append([number, number])
    return ", ".join(str(a) if a == b else f"{a}-{b}" for a, b in runs)


def page(counts, table, config):
    """The text of docs/kernel_figures.md; table: rows of static_bars.csv by (file, kernel, arch)."""
    by_kernel = {}
    for (file, kernel, arch), row in sorted(table.items()):
        if arch in DEVICES:
            by_kernel.setdefault(f"{file}/{kernel}", []).append(row)
    cases, reasons = place_kernels(counts, list(by_kernel), config)
    text = HEAD.format(images=counts["images"], bandwidth=BYTES_PER_SECOND / 1e12,
                       **{name: rate / 1e12 for name, rate in FLOP_PER_SECOND.items()})
    text += ("## Cases\n\n| case | pass | images and sizes | type | MB | MFLOP | FLOP a byte | floor, us | bound by |\n"
             "|---|---|---|---|---|---|---|---|---|\n")
    users = {}
    for number, (precision, case, own) in enumerate(cases, 1):
        text += case_row(number, precision, case)
        for kernel in own:
            users.setdefault(kernel, []).append(number)
    columns = ("| kernel | file | registers | shared bytes a block | resident threads a multiprocessor | tensor-core "
               "instructions | local memory | {} |\n|---|---|---|---|---|---|---|---|\n")
    text += ("\n## Kernels that a case may launch\n\nTwo figures: sm_80 / sm_90a. Shared memory is static and dynamic "
             "together; local memory is bytes of stack and\nloads and stores of spilled registers, 0 as the static "
             "bars want it.\n\n" + columns.format("cases"))
    for kernel, numbers in sorted(users.items()):
        text += kernel_row(kernel, by_kernel[kernel], numbers_text(numbers))
    text += ("\n## Kernels that no case launches\n\nTheir bytes an element are in "
             "[kernels/README.md](../kernels/README.md).\n\n" + columns.format("why"))
    for kernel in sorted(reasons):
        text += kernel_row(kernel, by_kernel[kernel], reasons[kernel])
    return text
