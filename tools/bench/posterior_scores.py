#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Scores every solver of inverse problems against posteriors that are known exactly.

  posterior_scores.py [--ito build/ito] [--page docs/inverse-problems.md | --out FILE] [--jobs 2]
                      [--mixtures A B Laplace Student] [--operators inpaint ..] [--rows TEXT ..] [--scores distance ..]
                      [--check]

The model is a Gaussian mixture, whose denoiser is exact; its posterior under a linear measurement is a mixture in
closed form. There are two families. Images are draws of A, of 2 x 2 numbers, and of B, of 4 x 4. Signals are running
sums of six independent, heavy-tailed increments, all of one law, Laplace's or Student's with 3 degrees of freedom. Two
centred normals stand for that law, 64 diagonal components for the six increments; the model is of these, and what is
measured of the signal is measured of them through the sum. How near the posterior of such a mixture is to that of the
true law, tests/engine/inverse/test_gibbs_signals.cpp shows; the tables here are of the mixture's. Signals are scored as
such, not their increments.

Measurements are made of draws of the mixture, three of A and two of the others for each operator, at three levels of
noise, and `ito restore` draws 1000 of A, 600 of B and 400 signals for each. Scores are means over the measurements; a
cell has them at sigma_y 0.025 / 0.1 / 0.25:

  distance    sliced Wasserstein distance, over 128 directions, to exact draws; the first row is other exact draws
  spread      root of the draws' total variance over that of the posterior
  gap         root mean square distance of the draws' mean to the posterior's, over its root mean square deviation
  coverage50  how much of the posterior is within the draws' central half, over numbers; coverage90 the same of 90 %

--page renews what stands between the markers of that page; without it or --out the tables are printed. --check holds
the posterior against sums over a grid and needs no ito. Of the standard library alone.
"""
import argparse
import array
import concurrent.futures
import itertools
import json
import math
import os
import random
import struct
import subprocess
import sys
import tempfile

import exact_posterior
from exact_posterior import Posterior, dot, per_number

# Components in planes: weights, variances, means.
MIXTURES = {
    "A": {"shape": [1, 2, 2], "weights": [.5, .3, .2], "variances": [.05, .02, .08],
          "means": [[.6, .6, -.4, -.4], [-.6, .2, .5, -.5], [0, -.7, -.7, .6]]},
    "B": {"shape": [1, 4, 4], "weights": [.4, .3, .2, .1], "variances": [.04, .09, .02, .06],
          "means": [[-.75, -.25, .25, .75] * 4,
                    [level for level in (.6, .2, -.2, -.6) for _ in range(4)],
                    [.5 if (row + column) % 2 == 0 else -.5 for row in range(4) for column in range(4)],
                    [-.6 if row in (1, 2) and column in (1, 2) else .4 for row in range(4) for column in range(4)]]},
}
IMAGES = tuple(MIXTURES)
# Weight and variance of the normals that stand for an increment's law of scale 1, as in
# tests/engine/inverse/increment_mixture.h.
PARTS = {"Laplace": ((.3392, .2756), (.6608, 2.4080)), "Student": ((.5721, .6848), (.4279, 3.6424))}
SIGNALS = tuple(PARTS)
LENGTH, DEVIATION = 6, .5  # of a signal: numbers, and the root of their mean square
SUMS = [[float(k <= at) for k in range(LENGTH)] for at in range(LENGTH)]  # a signal of its increments


def mixture_of_increments(parts):
    square = sum(weight * variance for weight, variance in parts) * sum(map(sum, SUMS)) / LENGTH
    chosen = list(itertools.product(parts, repeat=LENGTH))
    return {"shape": [1, 1, LENGTH], "weights": [math.prod(weight for weight, _ in of) for of in chosen],
            "variances": [[variance * DEVIATION ** 2 / square for _, variance in of] for of in chosen],
            "means": [[0] * LENGTH for _ in chosen]}


MIXTURES.update((name, mixture_of_increments(parts)) for name, parts in PARTS.items())
MEASUREMENTS = {"A": 3, "B": 2, "Laplace": 2, "Student": 2}
DRAWS = {"A": 1000, "B": 600, "Laplace": 400, "Student": 400}
MASKS = {"A": "1001", "B": "1100100000010011"}
SIGMAS = (0.025, 0.1, 0.25)
# out_i = .7 x_i + .2 x_{i+1} + .1 x_{i-1} on each periodic axis, as taps by the side: of a convolution whose tap 1 is
# at 0. The neighbours of one of two are the same.
TAPS = {2: (.3, .7), 4: (.2, .7, .1)}
DIRECTIONS = 128

IMAGE_OPERATORS = ("inpaint", "pool", "random", "blur", "denoise")
SIGNAL_OPERATORS = ("identity", "convolution", "sub-sampling", "Fourier")
OPERATORS = {**dict.fromkeys(IMAGES, IMAGE_OPERATORS), **dict.fromkeys(SIGNALS, SIGNAL_OPERATORS)}
EVERY = IMAGE_OPERATORS + SIGNAL_OPERATORS
EXACT = "exact draws"
# Name, solver, steps, settings, operators; None for settings: zeta from the number of measurements.
ROWS = [
    ("imputation, 1000", "imputation", 1000, [], IMAGE_OPERATORS),
    ("blend, 1000", "blend", 1000, [], IMAGE_OPERATORS),
    ("ddrm, 20", "ddrm", 20, [], EVERY),
    ("ddrm, 100", "ddrm", 100, [], IMAGE_OPERATORS),
    ("ddnm, 100, noise not told", "ddnm", 100, [], IMAGE_OPERATORS),
    ("ddnm, 100", "ddnm", 100, [], EVERY),
    ("ddnm, 100, travel 10 x 3", "ddnm", 100, ["travel_length=10", "travel_visits=3"], IMAGE_OPERATORS),
    ("pigdm, 100", "pigdm", 100, [], EVERY),
    ("pigdm, step=bayes, 200", "pigdm", 200, ["step=bayes"], SIGNAL_OPERATORS),
    ("pigdm, step=bayes, 1000", "pigdm", 1000, ["step=bayes"], IMAGE_OPERATORS),
    ("pigdm, covariance=tweedie, 500", "pigdm", 500, ["step=bayes", "covariance=tweedie"], IMAGE_OPERATORS),
    ("dps, zeta=0.3, 250", "dps", 250, ["zeta=0.3"], SIGNAL_OPERATORS),
    ("dps, zeta=0.3, 1000", "dps", 1000, ["zeta=0.3"], IMAGE_OPERATORS),
    ("dps, zeta=1, 1000", "dps", 1000, ["zeta=1"], IMAGE_OPERATORS),
    ("dps, zeta=0.3 sqrt(M/12288), 250", "dps", 250, None, SIGNAL_OPERATORS),
    ("dps, zeta=0.3 sqrt(M/12288), 1000", "dps", 1000, None, IMAGE_OPERATORS),
    ("mcg, 1000", "mcg", 1000, [], IMAGE_OPERATORS),
    ("snips, 100", "snips", 100, [], SIGNAL_OPERATORS),
    ("snips, 500", "snips", 500, [], IMAGE_OPERATORS),
    ("stochastic-denoise, 500", "stochastic-denoise", 500, [], ("denoise",)),
    ("repaint, 250", "repaint", 250, [], ("inpaint",)),
    ("diffpir, 100", "diffpir", 100, [], EVERY),
    ("red-diff, 250", "red-diff", 250, [], SIGNAL_OPERATORS),
    ("red-diff, 1000", "red-diff", 1000, [], IMAGE_OPERATORS),
]
SCORES = {"distance": ("sliced Wasserstein distance", 3), "spread": ("spread", 2), "gap": ("gap of the mean", 2),
          "coverage50": ("coverage of the central half", 2), "coverage90": ("coverage of the central 90 %", 2)}
BEGIN, END = "<!-- posterior scores: begin -->", "<!-- posterior scores: end -->"


# ---- The problems.

def fourier_rows():
    """Real parts of frequencies 0 and 1, imaginary parts of 1 and 2: orthonormal rows."""
    wave = lambda of, frequency: [of(2 * math.pi * frequency * k / LENGTH) * math.sqrt(2 / LENGTH)
                                  for k in range(LENGTH)]
    return [[1 / math.sqrt(LENGTH)] * LENGTH, wave(math.cos, 1), wave(math.sin, 1), wave(math.sin, 2)]


def signal_rows(operator):
    """Over the signal's numbers. Convolution is with 1/4, 1/2, 1/4 and zeros beyond the border."""
    if operator == "Fourier":
        return fourier_rows()
    if operator == "convolution":
        return [[{0: .5, 1: .25}.get(abs(at - k), 0.0) for k in range(LENGTH)] for at in range(LENGTH)]
    return [[float(at == k) for k in range(LENGTH)] for at in range(0, LENGTH, 2 if operator == "sub-sampling" else 1)]


def matrix_of(operator, name):
    """Rows over the numbers of the model, of signals their increments."""
    if name in SIGNALS:
        return [[dot(row, column) for column in zip(*SUMS)] for row in signal_rows(operator)]
    side = MIXTURES[name]["shape"][1]
    size = side * side
    unit = lambda at: [float(at == k) for k in range(size)]
    if operator == "denoise":
        return [unit(at) for at in range(size)]
    if operator == "inpaint":
        return [unit(at) for at, kept in enumerate(MASKS[name]) if kept == "1"]
    if operator == "pool":
        return [[.25 * (k // side // 2 == row and k % side // 2 == column) for k in range(size)]
                for row in range(side // 2) for column in range(side // 2)]
    if operator == "random":
        return [[math.cos(1 + 1.7 * (l + 1) * (k + 1) + .3 * k * k) / math.sqrt(size / 2) for k in range(size)]
                for l in range(size // 2)]
    axis = [[0.0] * side for _ in range(side)]
    for at in range(side):
        for tap, off in zip(TAPS[side], (1, 0, -1)):
            axis[at][(at + off) % side] += tap
    return [[axis[out // side][k // side] * axis[out % side][k % side] for k in range(size)] for out in range(size)]


def write_tensor(path, name, shape, numbers):
    header = json.dumps({name: {"dtype": "F32", "shape": shape, "data_offsets": [0, 4 * len(numbers)]}})
    with open(path, "wb") as file:
        file.write(struct.pack("<Q", len(header)) + header.encode() + array.array("f", numbers).tobytes())


def read_tensor(path, name):
    with open(path, "rb") as file:
        size, = struct.unpack("<Q", file.read(8))
        begin, end = json.loads(file.read(size))[name]["data_offsets"]
        file.seek(8 + size + begin)
        numbers = array.array("f")
        numbers.frombytes(file.read(end - begin))
    return numbers


def operator_text(operator, name, folder):
    """What --operator is given, and its file."""
    if operator in ("denoise", "pool"):
        return {"denoise": "denoise", "pool": "pool:2"}[operator]
    path = os.path.join(folder, f"{name}-{operator}.operator")
    side = MIXTURES[name]["shape"][1]
    if operator == "inpaint":
        write_tensor(path, "mask", [side, side], [float(kept) for kept in MASKS[name]])
    elif operator == "blur":
        write_tensor(path, "kernel", [len(TAPS[side])] * 2, [a * b for a in TAPS[side] for b in TAPS[side]])
    else:
        matrix = matrix_of(operator, name)
        write_tensor(path, "matrix", [len(matrix), len(matrix[0])], [a for row in matrix for a in row])
    return (operator if operator in ("inpaint", "blur") else "matrix") + ":" + path


def measurements_of(operator, name, sigma_y):
    """As float32 has them. The same images for all operators, the same noise at all levels but for its size."""
    images, noise = random.Random(f"images of {name}"), random.Random(f"noise of {name} {operator}")
    mixture, matrix, all_of = MIXTURES[name], matrix_of(operator, name), []
    for _ in range(MEASUREMENTS[name]):
        k = images.choices(range(len(mixture["weights"])), mixture["weights"])[0]
        mean = mixture["means"][k]
        variances = per_number(mixture["variances"][k], len(mean))
        x = [m + math.sqrt(v) * images.gauss(0, 1) for m, v in zip(mean, variances)]
        all_of.append(list(array.array("f", [dot(row, x) + 2 * sigma_y * noise.gauss(0, 1) for row in matrix])))
    return all_of


# ---- The scores.

def directions(size):
    source = random.Random("directions")
    found = []
    for _ in range(DIRECTIONS):
        v = [source.gauss(0, 1) for _ in range(size)]
        length = math.sqrt(dot(v, v))
        found.append([a / length for a in v])
    return found


def projections(draws):
    """Sorted, along each direction."""
    columns, all_of = list(zip(*draws)), []
    for direction in directions(len(columns)):
        along = [0.0] * len(draws)
        for column, part in zip(columns, direction):
            along = [a + part * x for a, x in zip(along, column)]
        all_of.append(sorted(along))
    return all_of


def quantile(ordered, p):
    at = p * (len(ordered) - 1)
    low = min(int(at), len(ordered) - 2)
    return ordered[low] + (at - low) * (ordered[low + 1] - ordered[low])


def scores_of(draws, posterior, exact):
    """exact: projections of exact draws, as many."""
    count, size = len(draws), len(posterior.mean)
    apart = [math.fsum((a - b) ** 2 for a, b in zip(mine, theirs)) / count
             for mine, theirs in zip(projections(draws), exact)]
    columns = [sorted(column) for column in zip(*draws)]
    means = [math.fsum(column) / count for column in columns]
    variance = sum(math.fsum((x - m) ** 2 for x in column) / (count - 1) for column, m in zip(columns, means))
    total = sum(posterior.variance)
    covered = lambda part: sum(posterior.below(j, quantile(column, .5 + part / 2)) -
                               posterior.below(j, quantile(column, .5 - part / 2))
                               for j, column in enumerate(columns)) / size
    return {"distance": math.sqrt(sum(apart) / len(apart)), "spread": math.sqrt(variance / total),
            "gap": math.sqrt(sum((a - b) ** 2 for a, b in zip(means, posterior.mean)) / total),
            "coverage50": covered(.5), "coverage90": covered(.9)}


def restored(ito, row, name, operator, sigma_y, ys, folder):
    """The draws of each measurement."""
    label, solver, steps, settings, _ = row
    place = os.path.join(folder, "out")
    paths = {what: os.path.join(folder, what) for what in ("mixture.json", "measurements.safetensors")}
    with open(paths["mixture.json"], "w", encoding="utf-8") as file:
        json.dump({"_class_name": "GaussianMixture", **MIXTURES[name]}, file)
    write_tensor(paths["measurements.safetensors"], "measurements", [len(ys), len(ys[0])], [a for y in ys for a in y])
    if settings is None:
        settings = [f"zeta={.3 * math.sqrt(len(ys[0]) / 12288):.6g}"]
    count = DRAWS[name]
    command = [ito, "restore", "--checkpoint", paths["mixture.json"], "--operator",
               operator_text(operator, name, folder), "--measurements", paths["measurements.safetensors"], "--sigma-y",
               "0" if label.endswith("not told") else str(sigma_y), "--solver", solver, "--steps", str(steps),
               "--draws", str(count), "--batch", str(count * len(ys)), "--seed", "1", "--threads", "1", "--out", place]
    for setting in settings:
        command += ["--set", setting]
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(f"posterior_scores.py: {label}, {operator} of {name}: status {done.returncode}, "
                         f"{done.stderr.strip()}")
    numbers = read_tensor(os.path.join(place, "restored.safetensors"), "samples")
    size = len(MIXTURES[name]["means"][0])
    draws = [list(numbers[at:at + size]) for at in range(0, len(numbers), size)]
    return [draws[at:at + count] for at in range(0, len(draws), count)]


def score_cell(ito, rows, name, operator, sigma_y):
    """Row's label to mean scores, of one operator at one noise."""
    matrix, ys = matrix_of(operator, name), measurements_of(operator, name, sigma_y)
    seen = SUMS if name in SIGNALS else None
    posteriors = [Posterior(MIXTURES[name], matrix, y, 2 * sigma_y, seen) for y in ys]
    source = random.Random(f"exact draws of {name} {operator} {sigma_y}")
    exact, others = ([[posterior.draw(source) for _ in range(DRAWS[name])] for posterior in posteriors]
                     for _ in range(2))
    along = [projections(draws) for draws in exact]

    def mean_scores(sets):
        of = [scores_of(*each) for each in zip(sets, posteriors, along)]
        return {key: sum(one[key] for one in of) / len(of) for key in SCORES}

    found = {EXACT: mean_scores(others)}
    for row in rows:
        if operator in row[4]:
            with tempfile.TemporaryDirectory() as folder:
                sets = restored(ito, row, name, operator, sigma_y, ys, folder)
            found[row[0]] = mean_scores([list(map(posterior.see, draws)) for posterior, draws in zip(posteriors, sets)])
    return found


def tables(cells, labels, scores):
    """cells: by mixture, operator and sigma_y; of the operators that they have, and the rows that were run of these."""
    parts = []
    for name in dict.fromkeys(key[0] for key in cells):
        operators = [operator for operator in OPERATORS[name] if (name, operator, SIGMAS[0]) in cells]
        for score in scores:
            title, digits = SCORES[score]
            what = f"Mixture {name}" if name in IMAGES else f"Signals of {name} increments"
            parts.append(f"**{what}, {title}** (sigma_y " + " / ".join(map(str, SIGMAS)) + ")\n")
            lines = ["| solver, steps | " + " | ".join(operators) + " |", "|---" * (len(operators) + 1) + "|"]
            for label in labels:
                of = [[cells[name, operator, sigma].get(label) for sigma in SIGMAS] for operator in operators]
                if any(map(any, of)):
                    lines.append("| " + " | ".join([label] + [
                        " / ".join(f"{one[score]:.{digits}f}" for one in cell if one) for cell in of]) + " |")
            parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


# ---- Its own check.

def check():
    """The posterior, the scores of exact draws, and the simplest facts about matrices and signals."""
    exact_posterior.check()
    near = exact_posterior.near
    mixture = {"weights": [.25, .75], "variances": [.1, .3], "means": [[-1, .5], [.8, -.2]]}
    source, posterior = random.Random(1), Posterior(mixture, [[.6, -.8]], [.1], .5)
    draws = [posterior.draw(source) for _ in range(4000)]
    scores = scores_of(draws, posterior, projections([posterior.draw(source) for _ in range(4000)]))
    for key, expected, off in (("distance", 0, .06), ("spread", 1, .05), ("gap", 0, .1), ("coverage50", .5, .03),
                               ("coverage90", .9, .02)):
        near(scores[key], expected, off)
    for name in IMAGES:
        for operator in ("inpaint", "pool", "blur", "denoise"):
            for row in matrix_of(operator, name):
                near(sum(row), 1, 1e-12)
    near(matrix_of("random", "A")[0][3], -.3363, 5e-5)
    increments = [.1, -.2, .3, .5, -.7, .2]
    signal = list(itertools.accumulate(increments))
    measured = {operator: [dot(row, increments) for row in matrix_of(operator, "Laplace")]
                for operator in SIGNAL_OPERATORS}
    for found, expected in zip(measured["identity"] + measured["sub-sampling"], signal + signal[::2]):
        near(found, expected, 1e-12)
    near(measured["convolution"][0], signal[0] / 2 + signal[1] / 4, 1e-12)
    near(measured["convolution"][3], signal[2] / 4 + signal[3] / 2 + signal[4] / 4, 1e-12)
    rows = fourier_rows()
    for i, row in enumerate(rows):
        for j, other in enumerate(rows):
            near(dot(row, other), float(i == j), 1e-12)
    for name in SIGNALS:
        mixture = MIXTURES[name]
        near(sum(mixture["weights"]), 1, 1e-12)
        square = sum(w * dot(row, v) for w, v in zip(mixture["weights"], mixture["variances"]) for row in SUMS)
        near(math.sqrt(square / LENGTH), DEVIATION, 1e-12)
    print("posterior_scores.py: its own parts are right")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ito", default="build/ito")
    parser.add_argument("--page")
    parser.add_argument("--out")
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1)
    parser.add_argument("--mixtures", nargs="+", choices=MIXTURES, default=list(MIXTURES))
    parser.add_argument("--operators", nargs="+", choices=EVERY, default=list(EVERY))
    parser.add_argument("--rows", nargs="+", help="of solvers whose row contains one of these")
    parser.add_argument("--scores", nargs="+", choices=SCORES, default=list(SCORES))
    parser.add_argument("--check", action="store_true")
    args = parser.parse_args()
    if args.check:
        return check()
    rows = [row for row in ROWS if not args.rows or any(text in row[0] for text in args.rows)]
    keys = [(name, operator, sigma) for name in args.mixtures for operator in OPERATORS[name]
            if operator in args.operators for sigma in SIGMAS]
    cells = dict.fromkeys(keys)
    with concurrent.futures.ProcessPoolExecutor(args.jobs) as pool:
        running = {pool.submit(score_cell, args.ito, rows, *key): key for key in keys}
        for done in concurrent.futures.as_completed(running):
            if done.exception():
                pool.shutdown(cancel_futures=True)
                sys.exit(str(done.exception()))
            cells[running[done]] = done.result()
            print(f"{sum(map(bool, cells.values()))} of {len(keys)}", file=sys.stderr, flush=True)
    text = tables(cells, [EXACT] + [row[0] for row in rows], args.scores)
    if args.page:
        with open(args.page, encoding="utf-8") as file:
            page = file.read()
        if BEGIN not in page or END not in page:
            sys.exit(f"posterior_scores.py: {args.page} has no markers '{BEGIN}' and '{END}'")
        page = page[:page.index(BEGIN) + len(BEGIN)] + "\n\n" + text + "\n" + page[page.index(END):]
        with open(args.page, "w", encoding="utf-8") as file:
            file.write(page)
    elif args.out:
        with open(args.out, "w", encoding="utf-8") as file:
            file.write(f"{BEGIN}\n\n{text}\n{END}\n")
    else:
        print(f"{BEGIN}\n\n{text}\n{END}")


if __name__ == "__main__":
    main()
