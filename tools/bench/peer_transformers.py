# SPDX-License-Identifier: Apache-2.0
"""DiT and JiT as PyTorch runs them best: the networks of the peers of `ito bench --against pytorch`.

Each takes the keys of a `transformer/config.json` and computes what tests/parity/transformer_reference.py does, which
shows each step; a test holds the two together. Here queries, keys and values are one product, attention is PyTorch's
fused one where it has that, a patch is embedded by a product of matrices, and tables are made once. Images are
(N, C, H, W), timesteps and labels (N). Dropout acts in training alone.
"""
import os
import sys

import torch
from torch import nn
from torch.nn import functional as F

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests", "parity"))

from transformer_reference import as_image, sine_table, turns  # noqa: E402

TIME_FEATURES = 256


def frequencies(shift, device):
    """Of the time's features, fp32 whatever the weights are: a buffer would follow them."""
    exponent = torch.arange(TIME_FEATURES // 2, dtype=torch.float64) / (TIME_FEATURES // 2 - shift)
    return (10000.0 ** -exponent).float().to(device)


def time_features(t, rates):
    """(N,) -> (N, 256) fp32."""
    angle = t.float()[:, None] * rates
    return torch.cat([angle.cos(), angle.sin()], 1)


def patches(x, size):
    """(N, C, H, W) -> (N, tokens, C * size * size), numbers in the order of a convolution's filter."""
    x = x.unflatten(3, (-1, size)).unflatten(2, (-1, size))
    return x.permute(0, 2, 4, 1, 3, 5).flatten(3).flatten(1, 2)


def attend(q, k, v):
    """(N, heads, tokens, head)."""
    if hasattr(F, "scaled_dot_product_attention"):
        return F.scaled_dot_product_attention(q, k, v)
    return torch.softmax(q @ k.transpose(-1, -2) * q.shape[-1] ** -0.5, -1) @ v


def turned(x, cos, sin):
    """x (N, tokens, heads, head), neighbouring numbers a pair; cos, sin (tokens, 1, head / 2)."""
    first, second = x.unflatten(-1, (-1, 2)).unbind(-1)
    return torch.stack([first * cos - second * sin, first * sin + second * cos], -1).flatten(-2)


def modulated(x, scale, shift):
    return torch.addcmul(shift[:, None], x, 1 + scale[:, None])


def embedding_of_time(width):
    return nn.Sequential(nn.Linear(TIME_FEATURES, width), nn.SiLU(), nn.Linear(width, width))


class RMSNorm(nn.Module):
    def __init__(self, width, eps):
        super().__init__()
        self.weight, self.eps = nn.Parameter(torch.ones(width)), eps

    def forward(self, x):
        if hasattr(F, "rms_norm"):  # fused where both are of one type, which autocast does not see to
            return F.rms_norm(x, self.weight.shape, self.weight.to(x.dtype), self.eps)
        return x * torch.rsqrt(x.square().mean(-1, keepdim=True) + self.eps) * self.weight


class Attention(nn.Module):
    """Of all tokens with all; with norm_eps queries and keys are normalised by head and turned by where they stand."""

    def __init__(self, width, heads, norm_eps=None):
        super().__init__()
        self.heads = heads
        self.qkv, self.proj = nn.Linear(width, 3 * width), nn.Linear(width, width)
        self.q_norm = self.k_norm = None
        if norm_eps is not None:
            self.q_norm, self.k_norm = RMSNorm(width // heads, norm_eps), RMSNorm(width // heads, norm_eps)

    def forward(self, x, turn=None):
        q, k, v = self.qkv(x).unflatten(-1, (3, self.heads, -1)).unbind(2)
        if self.q_norm is not None:
            q, k = turned(self.q_norm(q), *turn), turned(self.k_norm(k), *turn)
        return self.proj(attend(q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2)).transpose(1, 2).flatten(2))


class DiTBlock(nn.Module):
    def __init__(self, config, width):
        super().__init__()
        self.width, self.norm_eps, self.dropout = width, config["norm_eps"], config["dropout"]
        self.time, self.table = embedding_of_time(width), nn.Embedding(config["num_embeds_ada_norm"] + 1, width)
        self.rows = nn.Linear(width, 6 * width)
        self.attn = Attention(width, config["num_attention_heads"])
        self.affine = nn.LayerNorm(width) if config["norm_elementwise_affine"] else None
        gelu = nn.GELU(approximate="tanh" if "approx" in config["activation_fn"] else "none")
        self.mlp = nn.Sequential(nn.Linear(width, 4 * width), gelu, nn.Dropout(self.dropout),
                                 nn.Linear(4 * width, width))

    def forward(self, x, features, labels):
        condition = self.time(features) + self.table(labels)
        shift, scale, gate, shift2, scale2, gate2 = self.rows(F.silu(condition)).chunk(6, 1)
        y = self.attn(modulated(F.layer_norm(x, (self.width,), eps=1e-6), scale, shift))
        x = torch.addcmul(x, gate[:, None], F.dropout(y, self.dropout, self.training) if self.dropout else y)
        affine = (None, None) if self.affine is None else (self.affine.weight, self.affine.bias)
        y = self.mlp(modulated(F.layer_norm(x, (self.width,), *affine, eps=self.norm_eps), scale2, shift2))
        return torch.addcmul(x, gate2[:, None], y), condition


class DiT(nn.Module):
    """The end reads the first block's condition, as the published checkpoints have it."""

    def __init__(self, config, device="cpu"):
        super().__init__()
        self.patch, self.width = config["patch_size"], config["num_attention_heads"] * config["attention_head_dim"]
        numbers, outputs = self.patch ** 2, config["out_channels"] or config["in_channels"]
        self.side = config["sample_size"] // self.patch
        self.rates = frequencies(1, device)
        self.positions = sine_table(self.side, self.side, self.width, (self.side, self.side)).to(device)
        self.embed = nn.Linear(numbers * config["in_channels"], self.width)
        self.blocks = nn.ModuleList(DiTBlock(config, self.width) for _ in range(config["num_layers"]))
        self.last_rows, self.last = nn.Linear(self.width, 2 * self.width), nn.Linear(self.width, numbers * outputs)

    def forward(self, x, t, labels):
        features = time_features(t, self.rates).to(x.dtype)
        x = self.embed(patches(x, self.patch)) + self.positions.to(x.dtype)
        first = None
        for block in self.blocks:
            x, condition = block(x, features, labels)
            first = condition if first is None else first
        shift, scale = self.last_rows(F.silu(first)).chunk(2, 1)
        x = self.last(modulated(F.layer_norm(x, (self.width,), eps=1e-6), scale, shift))
        return as_image(x, self.side, self.side, self.patch)


class JiTBlock(nn.Module):
    def __init__(self, config, width, dropout):
        super().__init__()
        eps, hidden = config["norm_eps"], int(int(width * config["mlp_ratio"]) * 2 / 3)
        self.rows = nn.Linear(width, 6 * width)
        self.norm1, self.norm2 = RMSNorm(width, eps), RMSNorm(width, eps)
        self.attn = Attention(width, config["num_attention_heads"], eps)
        self.w12, self.w3 = nn.Linear(width, 2 * hidden), nn.Linear(hidden, width)
        self.dropout = dropout

    def dropped(self, x):
        return F.dropout(x, self.dropout, self.training) if self.dropout else x

    def forward(self, x, condition, turn):
        shift, scale, gate, shift2, scale2, gate2 = self.rows(condition).chunk(6, 1)
        y = self.dropped(self.attn(modulated(self.norm1(x), scale, shift), turn))
        x = torch.addcmul(x, gate[:, None], y)
        first, second = self.w12(modulated(self.norm2(x), scale2, shift2)).chunk(2, -1)
        return torch.addcmul(x, gate2[:, None], self.w3(self.dropped(F.silu(first) * second)))


class JiT(nn.Module):
    def __init__(self, config, device="cpu"):
        super().__init__()
        size = config["sample_size"]
        height, width = size if isinstance(size, list) else (size, size)
        self.patch, heads, head = config["patch_size"], config["num_attention_heads"], config["attention_head_dim"]
        self.width, self.grid = heads * head, (height // self.patch, width // self.patch)
        self.steps, self.noise_scale = config["num_train_timesteps"], config["noise_scale"]
        self.context = config["context_length"] if config["num_classes"] else 0
        self.context_start = config["context_start"]
        numbers = self.patch ** 2 * config["in_channels"]
        self.rates = frequencies(0, device)
        self.positions = sine_table(*self.grid, self.width, self.grid).to(device)
        self.turns = [tuple(part[:, None].to(device) for part in turns(*self.grid, head, before))
                      for before in (0, self.context)]
        self.time = embedding_of_time(self.width)
        self.table = nn.Embedding(config["num_classes"] + 1, self.width) if config["num_classes"] else None
        if self.context:
            self.of_context = nn.Parameter(0.02 * torch.randn(self.context, self.width))
        self.narrow = nn.Linear(numbers, config["bottleneck_dim"], bias=False)
        self.embed = nn.Linear(config["bottleneck_dim"], self.width)
        depth = config["num_layers"]
        self.blocks = nn.ModuleList(
            JiTBlock(config, self.width, config["dropout"] if depth // 4 <= i < depth // 4 * 3 else 0)
            for i in range(depth))
        self.last_rows, self.last_norm = nn.Linear(self.width, 2 * self.width), RMSNorm(self.width, config["norm_eps"])
        self.last = nn.Linear(self.width, numbers)

    def own_state(self, x, t):
        """The state and the data's share on the path whose noise is noise_scale times as large."""
        u, c = t.float() / self.steps, self.noise_scale
        if c == 1:
            return x, 1 - u
        return x * (c / (c - (c - 1) * u)).to(x.dtype)[:, None, None, None], 1 - u / (c - (c - 1) * u)

    def forward(self, x, t, labels=None):
        x, share = self.own_state(x, t)
        condition = self.time(time_features(share, self.rates).to(x.dtype))
        if self.table is not None:
            of_class = self.table(labels)
            condition = condition + of_class
        condition = F.silu(condition)
        x = self.embed(self.narrow(patches(x, self.patch))) + self.positions.to(x.dtype)
        turn = [part.to(x.dtype) for part in self.turns[0]]
        for i, block in enumerate(self.blocks):
            if self.context and i == self.context_start:
                x = torch.cat([of_class[:, None] + self.of_context, x], 1)
                turn = [part.to(x.dtype) for part in self.turns[1]]
            x = block(x, condition, turn)
        shift, scale = self.last_rows(condition).chunk(2, 1)
        x = self.last(modulated(self.last_norm(x[:, self.context:]), scale, shift))
        return as_image(x, *self.grid, self.patch)


CLASSES = {"DiTTransformer2DModel": DiT, "JiTTransformer2DModel": JiT}


def transformer_of(config, device="cpu"):
    """The network of a configuration; None where it is of another class."""
    kind = CLASSES.get(config.get("_class_name"))
    return kind and kind(config, device)
