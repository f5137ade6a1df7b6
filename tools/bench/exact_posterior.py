# SPDX-License-Identifier: Apache-2.0
"""The posterior of a Gaussian mixture with diagonal covariances under a linear measurement, in closed form.

What posterior_scores.py holds solvers against. Matrices are lists of rows; of the standard library alone.
"""
import math
import sys


def dot(a, b):
    return math.fsum(x * y for x, y in zip(a, b))


def cholesky(a):
    n = len(a)
    lower = [[0.0] * n for _ in range(n)]
    for i in range(n):
        for j in range(i + 1):
            left = a[i][j] - dot(lower[i][:j], lower[j][:j])
            lower[i][j] = math.sqrt(left) if i == j else left / lower[j][j]
    return lower


def solve_lower(lower, b):
    x = []
    for i, row in enumerate(lower):
        x.append((b[i] - dot(row[:i], x)) / row[i])
    return x


def solve_upper(lower, b):
    """Of the transpose."""
    n = len(b)
    x = [0.0] * n
    for i in reversed(range(n)):
        x[i] = (b[i] - sum(lower[j][i] * x[j] for j in range(i + 1, n))) / lower[i][i]
    return x


def per_number(v, size):
    """A component's variances, of one number for all of them too."""
    return v if isinstance(v, list) else [v] * size


class Posterior:
    """Of a mixture under y = H x + s z: component k is N(m + P^-1 H^T (y - H m) / s^2, P^-1), P = 1 / v + H^T H / s^2.

    seen: rows over x, of what means, variances, draws and probabilities are; x itself without them.
    """

    def __init__(self, mixture, matrix, y, s, seen=None):
        size = len(mixture["means"][0])
        self.seen = seen or [[float(i == j) for i in range(size)] for j in range(size)]
        gram = [[dot([row[i] for row in matrix], [row[j] for row in matrix]) / s ** 2 for j in range(size)]
                for i in range(size)]
        logs, self.means, self.lowers, self.deviations = [], [], [], []
        for weight, variances, mean in zip(mixture["weights"], mixture["variances"], mixture["means"]):
            v = per_number(variances, size)
            lower = cholesky([[gram[i][j] + (i == j) / v[i] for j in range(size)] for i in range(size)])
            residual = [a - dot(row, mean) for a, row in zip(y, matrix)]
            pull = [dot([row[j] for row in matrix], residual) / s ** 2 for j in range(size)]
            shift = solve_upper(lower, solve_lower(lower, pull))
            left = [r - dot(row, shift) for r, row in zip(residual, matrix)]
            twice = (dot(left, left) / s ** 2 + sum(a * a / b + math.log(b) for a, b in zip(shift, v)) +
                     2 * sum(math.log(lower[j][j]) for j in range(size)))
            logs.append(math.log(weight) - twice / 2)  # but for what all components share
            self.means.append(self.see([a + b for a, b in zip(mean, shift)]))
            self.lowers.append(lower)
            self.deviations.append([math.sqrt(dot(w, w)) for w in (solve_lower(lower, row) for row in self.seen)])
        most = max(logs)
        total = math.fsum(math.exp(value - most) for value in logs)
        self.weights = [math.exp(value - most) / total for value in logs]
        self.mean = [dot(self.weights, column) for column in zip(*self.means)]
        self.variance = [sum(w * (d[j] ** 2 + (m[j] - mean) ** 2)
                             for w, d, m in zip(self.weights, self.deviations, self.means))
                         for j, mean in enumerate(self.mean)]

    def see(self, x):
        return [dot(row, x) for row in self.seen]

    def draw(self, source):
        k = source.choices(range(len(self.weights)), self.weights)[0]
        z = solve_upper(self.lowers[k], [source.gauss(0, 1) for _ in self.lowers[k]])
        return [a + b for a, b in zip(self.means[k], self.see(z))]

    def below(self, j, x):
        return sum(w * math.erfc((m[j] - x) / (d[j] * math.sqrt(2))) / 2
                   for w, m, d in zip(self.weights, self.means, self.deviations))


def near(found, expected, off):
    if not abs(found - expected) <= off:
        sys.exit(f"posterior_scores.py: {found}, expected {expected}")


def check():
    """Of two numbers, and of their running sums, against sums over a grid."""
    mixture = {"weights": [.25, .75], "variances": [.1, [.3, .2]], "means": [[-1, .5], [.8, -.2]]}
    y, s, step = .1, .5, .04
    grid = [step * (i + .5) for i in range(-150, 150)]
    weighted = []
    for x0 in grid:
        for x1 in grid:
            p = math.exp(-((y - .6 * x0 + .8 * x1) / s) ** 2 / 2)
            p *= sum(w / math.sqrt(v0 * v1) * math.exp(-(x0 - m[0]) ** 2 / (2 * v0) - (x1 - m[1]) ** 2 / (2 * v1))
                     for w, (v0, v1), m in zip(mixture["weights"], ([.1, .1], [.3, .2]), mixture["means"]))
            weighted.append((p, x0, x1))
    total = math.fsum(p for p, _, _ in weighted)
    # The last number is below an edge that lies between points of the grid, which makes the error the step's square.
    for seen, edge in ((None, 0), ([[1, 0], [1, 1]], step / 2)):
        posterior = Posterior(mixture, [[.6, -.8]], [y], s, seen)
        points = [(p, posterior.see([x0, x1])) for p, x0, x1 in weighted]
        for j in range(2):
            first = math.fsum(p * x[j] for p, x in points) / total
            near(posterior.mean[j], first, 1e-9)
            near(posterior.variance[j], math.fsum(p * (x[j] - first) ** 2 for p, x in points) / total, 1e-9)
        near(posterior.below(1, edge), math.fsum(p for p, x in points if x[1] < edge) / total, 1e-3)
