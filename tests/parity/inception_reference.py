# SPDX-License-Identifier: Apache-2.0
"""An Inception-v3 of an eighth of the channels and random weights, in PyTorch and fp64, for
tests/only/cpu/test_inception_parity.cpp.

Written from Szegedy et al. 2015 and the graph of TensorFlow that FID is defined by: means of windows without their
padding, a largest in the last block, a bilinear resize from 0 on. Writes OUT/weights.safetensors, and of images that
grow, shrink and stay, grey ones among them, OUT/NAME.safetensors with `samples` of whole levels and `features`.
"""
import os
import sys

import torch
import torch.nn.functional as F

import safetensors_io

SIDE, SHRUNK, NORM_EPS = 299, 8, 1e-3
IMAGES = {"small": (2, 3, 40, 56), "large": (1, 3, 330, 310), "grey": (1, 1, 28, 28), "same": (1, 3, SIDE, SIDE)}


class Network:
    """Layers by name, with their weights drawn when they are first asked for."""

    def __init__(self):
        self.weights = {}

    def draw(self, name, k, c, rows, columns):
        def normal(*shape, scale=1.0, mean=0.0):
            return (mean + scale * torch.randn(shape, dtype=torch.float64)).float().double()  # as the file holds them

        # Of variance 2 / fan_in a sum keeps its size through ReLU (He et al. 2015); the norm undoes what it is told.
        self.weights[f"{name}.conv.weight"] = normal(k, c, rows, columns, scale=(2 / (c * rows * columns)) ** 0.5)
        self.weights[f"{name}.bn.weight"] = normal(k, scale=0.2, mean=1.0)
        self.weights[f"{name}.bn.bias"] = normal(k, scale=0.2)
        self.weights[f"{name}.bn.running_mean"] = normal(k, scale=0.2)
        self.weights[f"{name}.bn.running_var"] = normal(k, scale=0.1, mean=1.0).abs()

    def conv(self, name, x, k, size, stride=1, padding=0):
        if f"{name}.conv.weight" not in self.weights:
            self.draw(name, k // SHRUNK, x.shape[1], *size)
        x = F.conv2d(x, self.weights[f"{name}.conv.weight"], stride=stride, padding=padding)
        norm = [self.weights[f"{name}.bn.{kind}"] for kind in ("running_mean", "running_var", "weight", "bias")]
        return F.relu(F.batch_norm(x, *norm, eps=NORM_EPS))

    def point(self, name, x, k):
        return self.conv(name, x, k, (1, 1))

    def three(self, name, x, k):
        return self.conv(name, x, k, (3, 3), padding=1)

    def down(self, name, x, k):
        return self.conv(name, x, k, (3, 3), stride=2)

    def row(self, name, x, k, length):
        return self.conv(name, x, k, (1, length), padding=(0, length // 2))

    def column(self, name, x, k, length):
        return self.conv(name, x, k, (length, 1), padding=(length // 2, 0))

    def mean_branch(self, name, x, k):
        return self.point(name, F.avg_pool2d(x, 3, 1, 1, count_include_pad=False), k)

    def block_5(self, m, x, pooled):
        five = self.conv(f"{m}.branch5x5_2", self.point(f"{m}.branch5x5_1", x, 48), 64, (5, 5), padding=2)
        double = self.three(f"{m}.branch3x3dbl_2", self.point(f"{m}.branch3x3dbl_1", x, 64), 96)
        double = self.three(f"{m}.branch3x3dbl_3", double, 96)
        return torch.cat([self.point(f"{m}.branch1x1", x, 64), five, double,
                          self.mean_branch(f"{m}.branch_pool", x, pooled)], 1)

    def block_6a(self, m, x):
        double = self.three(f"{m}.branch3x3dbl_2", self.point(f"{m}.branch3x3dbl_1", x, 64), 96)
        return torch.cat([self.down(f"{m}.branch3x3", x, 384), self.down(f"{m}.branch3x3dbl_3", double, 96),
                          F.max_pool2d(x, 3, 2)], 1)

    def block_6(self, m, x, inner):
        seven = self.row(f"{m}.branch7x7_2", self.point(f"{m}.branch7x7_1", x, inner), inner, 7)
        seven = self.column(f"{m}.branch7x7_3", seven, 192, 7)
        double = self.column(f"{m}.branch7x7dbl_2", self.point(f"{m}.branch7x7dbl_1", x, inner), inner, 7)
        double = self.column(f"{m}.branch7x7dbl_4", self.row(f"{m}.branch7x7dbl_3", double, inner, 7), inner, 7)
        double = self.row(f"{m}.branch7x7dbl_5", double, 192, 7)
        return torch.cat([self.point(f"{m}.branch1x1", x, 192), seven, double,
                          self.mean_branch(f"{m}.branch_pool", x, 192)], 1)

    def block_7a(self, m, x):
        three = self.down(f"{m}.branch3x3_2", self.point(f"{m}.branch3x3_1", x, 192), 320)
        seven = self.row(f"{m}.branch7x7x3_2", self.point(f"{m}.branch7x7x3_1", x, 192), 192, 7)
        seven = self.down(f"{m}.branch7x7x3_4", self.column(f"{m}.branch7x7x3_3", seven, 192, 7), 192)
        return torch.cat([three, seven, F.max_pool2d(x, 3, 2)], 1)

    def block_7(self, m, x, last):
        three = self.point(f"{m}.branch3x3_1", x, 384)
        double = self.three(f"{m}.branch3x3dbl_2", self.point(f"{m}.branch3x3dbl_1", x, 448), 384)
        pool = f"{m}.branch_pool"
        return torch.cat([
            self.point(f"{m}.branch1x1", x, 320),
            self.row(f"{m}.branch3x3_2a", three, 384, 3), self.column(f"{m}.branch3x3_2b", three, 384, 3),
            self.row(f"{m}.branch3x3dbl_3a", double, 384, 3), self.column(f"{m}.branch3x3dbl_3b", double, 384, 3),
            self.point(pool, F.max_pool2d(x, 3, 1, 1), 192) if last else self.mean_branch(pool, x, 192)], 1)

    def features(self, x):
        """x (N, 3, SIDE, SIDE) -> (N, 2048 / SHRUNK)."""
        x = self.conv("Conv2d_2a_3x3", self.down("Conv2d_1a_3x3", x, 32), 32, (3, 3))
        x = F.max_pool2d(self.three("Conv2d_2b_3x3", x, 64), 3, 2)
        x = self.conv("Conv2d_4a_3x3", self.point("Conv2d_3b_1x1", x, 80), 192, (3, 3))
        x = F.max_pool2d(x, 3, 2)
        for letter, pooled in zip("bcd", (32, 64, 64)):
            x = self.block_5(f"Mixed_5{letter}", x, pooled)
        x = self.block_6a("Mixed_6a", x)
        for letter, inner in zip("bcde", (128, 160, 160, 192)):
            x = self.block_6(f"Mixed_6{letter}", x, inner)
        x = self.block_7a("Mixed_7a", x)
        x = self.block_7("Mixed_7c", self.block_7("Mixed_7b", x, False), True)
        assert x.shape[1:] == (2048 // SHRUNK, 8, 8)
        return x.mean((2, 3))


def places(size):
    """Of SIDE numbers among `size`: the two beside each, and how far it is from the first; in fp32, as the op has it."""
    at = torch.arange(SIDE).float() * (torch.tensor(size).float() / SIDE)
    low = at.floor().long()
    return low, (low + 1).clamp(max=size - 1), (at - low).double()


def seen(levels):
    """levels (N, C, H, W), 0 to 255 -> (N, 3, SIDE, SIDE)."""
    low, high, part = places(levels.shape[2])
    x = levels[:, :, low] * (1 - part)[:, None] + levels[:, :, high] * part[:, None]
    low, high, part = places(levels.shape[3])
    x = x[:, :, :, low] * (1 - part) + x[:, :, :, high] * part
    return ((x - 128) / 128).expand(-1, 3, -1, -1)


def main():
    out = sys.argv[1]
    os.makedirs(out, exist_ok=True)
    torch.manual_seed(5)
    network = Network()
    for name, shape in IMAGES.items():
        levels = torch.randint(0, 256, shape).double()
        with torch.no_grad():
            found = network.features(seen(levels))
        safetensors_io.save(f"{out}/{name}.safetensors",
                            {"samples": (levels / 127.5 - 1).float(), "features": found.float()})
    tensors = {name: tensor.float() for name, tensor in network.weights.items()}
    # What files have besides, and nothing here reads.
    tensors |= {"fc.weight": torch.zeros(5, 2048 // SHRUNK), "AuxLogits.conv0.conv.weight": torch.zeros(2, 96, 1, 1),
                "Mixed_5b.branch1x1.bn.num_batches_tracked": torch.zeros((), dtype=torch.int64)}
    safetensors_io.save(f"{out}/weights.safetensors", tensors)


if __name__ == "__main__":
    main()
