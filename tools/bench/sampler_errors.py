#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Draws each sampler's error against the number of network evaluations, on a mixture of which all is known.

  sampler_errors.py [--ito build/ito] [--out docs/images] [--table]

Every deterministic sampler takes the same noise from its start to the end, with a Gaussian mixture of two numbers in
the network's place, at several numbers of steps. Its error is the root mean square, over images and numbers, of the
distance to where ode45 ends at the least tolerance it has. DEIS, which ends at the first timestep and not at clean
data, is compared with the flow to there: sampler_errors.svg. Samplers that draw are compared with the law: the
Wasserstein distance of the draws of each number from the quantiles of its density: sampler_laws.svg. With --table the
numbers are printed as Markdown tables.
"""
import argparse
import array
import json
import math
import os
import random
import struct
import subprocess
import sys
import tempfile

MIXTURE = {"_class_name": "GaussianMixture", "shape": [2, 1, 1], "weights": [1, 3],
           "means": [[-1.8, 1.2], [0.6, -0.4]], "variances": [0.6, 0.9]}
STEPS = (5, 8, 10, 20, 25, 40, 50, 100, 125, 200)  # divisors of the schedule's 1000: of others DDIM misses its grid
MOST_EVALUATIONS = 200
EXACT = ["--sampler", "ode45", "--set", "rtol=1e-7", "--set", "atol=1e-9", "--set", "sampling_eps=1e-6"]
AT_FIRST = ["--set", "final_sigmas_type=sigma_min"]

# Karras et al.'s levels where a sampler has them, between the schedule's ends: a walk along the timesteps ends in steps
# that are long in ln s, which cost every solver of higher order its order.
KARRAS = ["--spacing", "linspace", "--set", "use_karras_sigmas=true"]

# Name, arguments, evaluations of n steps, whether it ends at the first timestep and not at clean data.
ONE_CALL = [
    ("ddim", ["--spacing", "trailing"], lambda n: n, False),
    ("euler", KARRAS, lambda n: n, False),
    ("dpm++1s", KARRAS, lambda n: n, False),
    ("dpm++2s", KARRAS, lambda n: n, False),
    ("dpm++3s", KARRAS, lambda n: n, False),
    ("dpm++2m", KARRAS, lambda n: n, False),
    ("dpm++3m", KARRAS, lambda n: n, False),
    ("deis", KARRAS + ["--set", "solver_order=3"], lambda n: n, True),
    ("unipc", KARRAS, lambda n: n, False),
    ("lms", KARRAS, lambda n: n, False),
    ("ipndm", [], lambda n: n, False),
    ("pndm", [], lambda n: n + 9, False),
]
MORE_CALLS = [
    ("heun", KARRAS, lambda n: 2 * n - 1, False),
    ("edm-heun", [], lambda n: 2 * n - 1, False),
    ("kdpm2", KARRAS, lambda n: 2 * n - 1, False),
    ("flow-euler", [], lambda n: n, False),
    ("flow-midpoint", [], lambda n: 2 * n, False),
    ("flow-heun", [], lambda n: 2 * n - 1, False),
]
# With noise of their own.
DRAWING = [
    ("ddpm", [], lambda n: n),
    ("ddim, eta 1", ["--set", "eta=1"], lambda n: n),
    ("euler-maruyama", [], lambda n: n),
    ("euler-ancestral", KARRAS, lambda n: n),
    ("dpm++2m-sde", KARRAS, lambda n: n),
    ("kdpm2-ancestral", KARRAS, lambda n: 2 * n - 1),
    ("dpm++2s-ancestral", KARRAS, lambda n: 2 * n - 1),
    ("dpm++sde", KARRAS, lambda n: 2 * n - 1),
]
DRAWS = 20000
PANELS = (("In the noise level: one call a step", ONE_CALL), ("Two calls a step, and in flow's time", MORE_CALLS))


def write_noise(path, count):
    draw = random.Random(1)
    numbers = array.array("f", [draw.gauss(0, 1) for _ in range(2 * count)])
    header = json.dumps({"noise": {"dtype": "F32", "shape": [count, 2, 1, 1], "data_offsets": [0, 8 * count]}})
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(header)) + header.encode() + numbers.tobytes())


def read_numbers(path):
    with open(path, "rb") as file:
        size, = struct.unpack("<Q", file.read(8))
        tensors = {name: of for name, of in json.loads(file.read(size)).items() if name != "__metadata__"}
        begin, end = next(iter(tensors.values()))["data_offsets"]
        file.seek(8 + size + begin)
        numbers = array.array("f")
        numbers.frombytes(file.read(end - begin))
    return numbers


def quantiles(number, count):
    """Of a number of the mixture at (i + 1/2) / count, by bisection."""
    parts = [(weight / sum(MIXTURE["weights"]), mean[number], math.sqrt(2 * variance))
             for weight, mean, variance in zip(MIXTURE["weights"], MIXTURE["means"], MIXTURE["variances"])]
    found, start = [], -8.0
    for i in range(count):
        low, high = start, 8.0
        for _ in range(40):
            middle = (low + high) / 2
            below = sum(weight * (1 + math.erf((middle - mean) / spread)) / 2 for weight, mean, spread in parts)
            low, high = (middle, high) if below < (i + 0.5) / count else (low, middle)
        start = low
        found.append(low)
    return found


class Runs:
    def __init__(self, ito, folder, count=256):
        mixture, noise = os.path.join(folder, "mixture.json"), os.path.join(folder, "noise.safetensors")
        self.command = [ito, "sample", "--raw", "--threads", "1", "--checkpoint", mixture]
        self.given = ["--count", str(count), "--batch", str(count), "--initial-noise", noise]
        self.out = os.path.join(folder, "out")
        with open(mixture, "w") as file:
            json.dump(MIXTURE, file)
        write_noise(noise, count)
        self.exact = {at_first: self.ends(EXACT + (AT_FIRST if at_first else [])) for at_first in (False, True)}
        self.quantiles = [quantiles(number, DRAWS) for number in range(2)]

    def ends(self, arguments, noise=None):
        done = subprocess.run(self.command + (noise or self.given) + arguments + ["--out", self.out],
                              capture_output=True, text=True)
        if done.returncode:
            raise SystemExit(f"sampler_errors.py: {' '.join(arguments)}: {done.stderr.strip()}")
        return read_numbers(os.path.join(self.out, "samples.safetensors"))

    def curve(self, name, arguments, evaluations, at_first):
        points = []
        for n in STEPS:
            if evaluations(n) > MOST_EVALUATIONS:
                continue
            ends = self.ends(["--sampler", name, "--steps", str(n)] + arguments)
            apart = math.fsum((a - b) ** 2 for a, b in zip(ends, self.exact[at_first])) / len(ends)
            points.append((evaluations(n), math.sqrt(apart)))
        return points

    def law_curve(self, name, arguments, evaluations):
        points = []
        for n in STEPS:
            if evaluations(n) > MOST_EVALUATIONS:
                continue
            drawn = self.ends(["--sampler", name.split(",")[0], "--steps", str(n)] + arguments,
                              ["--count", str(DRAWS), "--batch", "5000", "--seed", "3"])
            apart = [math.fsum(abs(a - b) for a, b in zip(sorted(drawn[number::2]), self.quantiles[number])) / DRAWS
                     for number in range(2)]
            points.append((evaluations(n), sum(apart) / 2))
        return points


INKS = ("#1f5f9e", "#c2571a", "#2e7d32", "#8e2f86", "#b8860b", "#00838f", "#b71c1c", "#5d4037", "#3949ab", "#689f38",
        "#d81b60", "#455a64")
HEIGHT, TOP, BOTTOM, LEFT, PANEL = 540, 70, 60, 70, 480


def escaped(text):
    return text.replace("&", "&amp;").replace("<", "&lt;")


def chart(panels, heading, y_label):
    width = LEFT + len(panels) * (PANEL + 30) - 10
    errors = [error for _, curves in panels for _, points in curves for _, error in points]
    counts = [count for _, curves in panels for _, points in curves for count, _ in points]
    low, high = math.floor(math.log10(min(errors))), math.ceil(math.log10(max(errors)))
    first, last = math.log(min(counts) / 1.1), math.log(max(counts) * 1.1)
    y_of = lambda error: TOP + (high - math.log10(error)) / (high - low) * (HEIGHT - TOP - BOTTOM)
    out = ['<?xml version="1.0" encoding="UTF-8"?>',
           f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {HEIGHT}" width="{width}" height="{HEIGHT}" '
           'font-family="sans-serif" font-size="13">', '<rect width="100%" height="100%" fill="#ffffff"/>']
    text = lambda x, y, what, more="": out.append(f'<text x="{x:.2f}" y="{y:.2f}" {more}>{escaped(what)}</text>')
    line = lambda x1, y1, x2, y2, ink: out.append(
        f'<line x1="{x1:.2f}" y1="{y1:.2f}" x2="{x2:.2f}" y2="{y2:.2f}" stroke="{ink}"/>')
    text(width / 2, 26, heading,
         'text-anchor="middle" font-size="16" fill="#222222"')
    for panel, (title, curves) in enumerate(panels):
        left = LEFT + panel * (PANEL + 30)
        right = left + PANEL - 20
        x_of = lambda count: left + (math.log(count) - first) / (last - first) * (right - left)
        text((left + right) / 2, 54, title, 'text-anchor="middle" fill="#222222"')
        for count in (5, 10, 20, 50, 100, 200):
            if first <= math.log(count) <= last:
                line(x_of(count), HEIGHT - BOTTOM, x_of(count), TOP, "#e4e4e4")
                text(x_of(count), HEIGHT - BOTTOM + 20, str(count), 'text-anchor="middle" fill="#444444"')
        for power in range(low, high + 1):
            line(left, y_of(10.0 ** power), right, y_of(10.0 ** power), "#e4e4e4")
            if panel == 0:
                text(left - 8, y_of(10.0 ** power) + 4.5, f"1e{power}", 'text-anchor="end" fill="#444444"')
        line(left, HEIGHT - BOTTOM, right, HEIGHT - BOTTOM, "#666666")
        line(left, HEIGHT - BOTTOM, left, TOP, "#666666")
        text((left + right) / 2, HEIGHT - 16, "network evaluations", 'text-anchor="middle" fill="#222222"')
        for k, (name, points) in enumerate(curves):
            at = " ".join(f"{x_of(count):.2f},{y_of(error):.2f}" for count, error in points)
            dash = ' stroke-dasharray="7 4"' if k % 2 else ""
            out.append(f'<polyline fill="none" stroke="{INKS[k % len(INKS)]}" stroke-width="2"{dash} points="{at}"/>')
        # The legend, in the corner that the curves leave free.
        for k, (name, _) in enumerate(curves):
            row = HEIGHT - BOTTOM - 12 - 17 * (len(curves) - 1 - k)
            dash = ' stroke-dasharray="7 4"' if k % 2 else ""
            out.append(f'<line x1="{left + 10}" y1="{row - 4.5:.2f}" x2="{left + 38}" y2="{row - 4.5:.2f}" '
                       f'stroke="{INKS[k % len(INKS)]}" stroke-width="2"{dash}/>')
            text(left + 44, row, name, 'fill="#222222"')
    text(20, (TOP + HEIGHT - BOTTOM) / 2, y_label,
         f'text-anchor="middle" fill="#222222" transform="rotate(-90 20 {(TOP + HEIGHT - BOTTOM) / 2})"')
    return "\n".join(out + ["</svg>"]) + "\n"


def nearest(points, wanted):
    count, error = min(points, key=lambda point: abs(point[0] - wanted))
    return f"{error:.1e} ({count})"


def print_table(panels):
    print("| sampler | near 10 (evaluations) | near 25 | near 50 | near 100 |\n|---|---|---|---|---|")
    for _, curves in panels:
        for name, points in curves:
            print("| " + " | ".join([f"`{name}`"] + [nearest(points, n) for n in (10, 25, 50, 100)]) + " |")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--ito", default="build/ito")
    parser.add_argument("--out", default="docs/images", help="folder")
    parser.add_argument("--table", action="store_true")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        runs = Runs(arguments.ito, folder)
        errors = [(title, [(sampler[0], runs.curve(*sampler)) for sampler in samplers]) for title, samplers in PANELS]
        laws = [("Karras et al.'s levels where there is a choice",
                 [(sampler[0], runs.law_curve(*sampler)) for sampler in DRAWING])]
    for name, panels, heading, y_label in (
            ("sampler_errors", errors, "Error of a sampler against network evaluations, on a mixture",
             "root mean square error"),
            ("sampler_laws", laws, "Distance of what is drawn from the law", "Wasserstein distance of a number")):
        with open(os.path.join(arguments.out, name + ".svg"), "w") as file:
            file.write(chart(panels, heading, y_label))
        if arguments.table:
            print_table(panels)


if __name__ == "__main__":
    sys.exit(main())
