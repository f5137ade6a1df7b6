# SPDX-License-Identifier: Apache-2.0
"""Plain PyTorch transformers of images, DiT and JiT: the oracles of the parity tests.

Each takes the keys of a `transformer/config.json` and has that class's state-dict names and shapes. Images are
(N, C, H, W), timesteps and labels (N). Features of the time are fp32 whatever the type of the weights, and tables of
positions are fp32 numbers; everything else follows the weights. Dropout is left out: the tests run without.
"""
import math

import torch
from torch import nn
from torch.nn import functional as F


def time_features(t, width, shift):
    """(N,) -> (N, width) fp32: cosines, then sines, of t * 10000^(-i / (width / 2 - shift)). Angles are fp32 products of
    fp32 numbers, and reach a thousand, where a last bit of an exponential shows: it is rounded from fp64."""
    half = width // 2
    exponent = -math.log(10000) * torch.arange(half).float() / (half - shift)
    angle = (t.float()[:, None] * torch.exp(exponent.double()).float()[None]).double()
    return torch.cat([angle.cos(), angle.sin()], 1).float()


def sine_table(height, width, channels, base):
    """(height * width, channels): by column, then by row, sines and cosines of c / 4 frequencies; a grid of another
    size than `base` is put on it."""
    table = torch.zeros(height, width, channels, dtype=torch.float64)
    quarter = channels // 4
    for i in range(quarter):
        rate = 10000.0 ** (-i / quarter)
        for y in range(height):
            for x in range(width):
                column, row = x * base[1] / width * rate, y * base[0] / height * rate
                for part, value in enumerate((math.sin(column), math.cos(column), math.sin(row), math.cos(row))):
                    table[y, x, part * quarter + i] = value
    return table.float().flatten(0, 1)


def turns(height, width, head, before):
    """Cosine and sine (tokens, head / 2) by which each pair of a head is turned: half of the pairs by the row, half by
    the column; `before` tokens in front are not turned."""
    rate = 10000.0 ** (-torch.arange(head // 4, dtype=torch.float64) / (head // 4))
    rows, columns = torch.meshgrid(torch.arange(height).double(), torch.arange(width).double(), indexing="ij")
    angle = torch.cat([rows.flatten()[:, None] * rate, columns.flatten()[:, None] * rate], 1)
    angle = torch.cat([angle.new_zeros(before, head // 2), angle], 0)
    return angle.cos().float(), angle.sin().float()


def turned(x, turn):
    """x (N, heads, tokens, head): neighbouring numbers are a pair."""
    cos, sin = (part.to(x.dtype) for part in turn)
    first, second = x[..., 0::2], x[..., 1::2]
    return torch.stack([first * cos - second * sin, first * sin + second * cos], -1).flatten(-2)


def attend(q, k, v):
    return torch.softmax(q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1]), -1) @ v


def by_head(x, heads):
    return x.unflatten(-1, (heads, -1)).transpose(1, 2)


def as_image(tokens, height, width, patch):
    """(N, tokens, patch * patch * C), numbers by row, column and channel, to (N, C, H, W)."""
    x = tokens.unflatten(2, (patch, patch, -1)).unflatten(1, (height, width))
    return x.permute(0, 5, 1, 3, 2, 4).flatten(4, 5).flatten(2, 3)


def modulated(x, scale, shift):
    return x * (1 + scale[:, None]) + shift[:, None]


class Linears(nn.Module):
    """Holds submodules at dotted paths, so that a state dict has the names of the files."""

    def put(self, path, module):
        at = self
        *folders, last = path.split(".")
        for folder in folders:
            if folder not in at._modules:
                at.add_module(folder, nn.Module())
            at = at._modules[folder]
        at.add_module(last, module)

    def at(self, path):
        return self.get_submodule(path)

    def linear(self, path, fan_in, fan_out):
        self.put(path, nn.Linear(fan_in, fan_out))


class DiT(Linears):
    CLASS_NAME = "DiTTransformer2DModel"

    def __init__(self, cfg):
        super().__init__()
        self.cfg = cfg
        patch, width = cfg["patch_size"], cfg["num_attention_heads"] * cfg["attention_head_dim"]
        self.width = width
        self.put("pos_embed.proj", nn.Conv2d(cfg["in_channels"], width, patch, stride=patch))
        for i in range(cfg["num_layers"]):
            at = f"transformer_blocks.{i}."
            self.linear(at + "norm1.emb.timestep_embedder.linear_1", 256, width)
            self.linear(at + "norm1.emb.timestep_embedder.linear_2", width, width)
            self.put(at + "norm1.emb.class_embedder.embedding_table",
                     nn.Embedding(cfg["num_embeds_ada_norm"] + 1, width))
            self.linear(at + "norm1.linear", width, 6 * width)
            for name in ("to_q", "to_k", "to_v", "to_out.0"):
                self.linear(at + "attn1." + name, width, width)
            if cfg["norm_elementwise_affine"]:
                self.put(at + "norm3", nn.LayerNorm(width))
            self.linear(at + "ff.net.0.proj", width, 4 * width)
            self.linear(at + "ff.net.2", 4 * width, width)
        self.linear("proj_out_1", width, 2 * width)
        self.linear("proj_out_2", width, patch * patch * (cfg["out_channels"] or cfg["in_channels"]))

    def forward(self, x, t, labels):
        cfg, width, patch = self.cfg, self.width, self.cfg["patch_size"]
        h, w = x.shape[2] // patch, x.shape[3] // patch
        features = time_features(t, 256, 1).to(x.dtype)
        base = cfg["sample_size"] // patch
        x = self.at("pos_embed.proj")(x).flatten(2).transpose(1, 2)
        x = x + sine_table(h, w, width, (base, base)).to(x.dtype)
        of_first = None
        for i in range(cfg["num_layers"]):
            def layer(name):
                return self.at(f"transformer_blocks.{i}.{name}")
            rows = layer("norm1.emb.timestep_embedder.linear_1")(features)
            rows = layer("norm1.emb.timestep_embedder.linear_2")(F.silu(rows))
            rows = rows + layer("norm1.emb.class_embedder.embedding_table")(labels)
            of_first = rows if of_first is None else of_first
            shift, scale, gate, shift2, scale2, gate2 = layer("norm1.linear")(F.silu(rows)).chunk(6, 1)
            y = modulated(F.layer_norm(x, (width,), eps=1e-6), scale, shift)
            q, k, v = (by_head(layer("attn1." + name)(y), cfg["num_attention_heads"])
                       for name in ("to_q", "to_k", "to_v"))
            y = layer("attn1.to_out.0")(attend(q, k, v).transpose(1, 2).flatten(2))
            x = x + gate[:, None] * y
            affine = (layer("norm3").weight, layer("norm3").bias) if cfg["norm_elementwise_affine"] else (None, None)
            y = modulated(F.layer_norm(x, (width,), *affine, eps=cfg["norm_eps"]), scale2, shift2)
            y = F.gelu(layer("ff.net.0.proj")(y), approximate="tanh" if "approx" in cfg["activation_fn"] else "none")
            x = x + gate2[:, None] * layer("ff.net.2")(y)
        shift, scale = self.at("proj_out_1")(F.silu(of_first)).chunk(2, 1)
        x = modulated(F.layer_norm(x, (width,), eps=1e-6), scale, shift)
        return as_image(self.at("proj_out_2")(x), h, w, patch)


class Scale(nn.Module):
    """The weight of an RMSNorm."""

    def __init__(self, width):
        super().__init__()
        self.weight = nn.Parameter(torch.ones(width))

    def forward(self, x, eps):
        return x * torch.rsqrt(x.pow(2).mean(-1, keepdim=True) + eps) * self.weight


class JiT(Linears):
    CLASS_NAME = "JiTTransformer2DModel"

    def __init__(self, cfg):
        super().__init__()
        self.cfg = cfg
        patch, head = cfg["patch_size"], cfg["attention_head_dim"]
        width = cfg["num_attention_heads"] * head
        self.width, self.hidden = width, int(int(width * cfg["mlp_ratio"]) * 2 / 3)
        self.linear("t_embedder.mlp.0", 256, width)
        self.linear("t_embedder.mlp.2", width, width)
        if cfg["num_classes"]:
            self.put("y_embedder.embedding_table", nn.Embedding(cfg["num_classes"] + 1, width))
            if cfg["context_length"]:
                self.in_context_posemb = nn.Parameter(0.02 * torch.randn(cfg["context_length"], width))
        self.put("x_embedder.proj1", nn.Conv2d(cfg["in_channels"], cfg["bottleneck_dim"], patch, patch, bias=False))
        self.linear("x_embedder.proj2", cfg["bottleneck_dim"], width)
        for i in range(cfg["num_layers"]):
            at = f"blocks.{i}."
            self.linear(at + "adaLN_modulation.1", width, 6 * width)
            self.put(at + "norm1", Scale(width))
            self.put(at + "norm2", Scale(width))
            for name in ("to_q", "to_k", "to_v", "proj"):
                self.linear(at + "attn." + name, width, width)
            self.put(at + "attn.q_norm", Scale(head))
            self.put(at + "attn.k_norm", Scale(head))
            self.linear(at + "mlp.w12", width, 2 * self.hidden)
            self.linear(at + "mlp.w3", self.hidden, width)
        self.linear("final_layer.adaLN_modulation.1", width, 2 * width)
        self.put("final_layer.norm_final", Scale(width))
        self.linear("final_layer.linear", width, patch * patch * cfg["in_channels"])

    def forward(self, x, t, labels=None):
        cfg, width, patch, eps = self.cfg, self.width, self.cfg["patch_size"], self.cfg["norm_eps"]
        head, heads = cfg["attention_head_dim"], cfg["num_attention_heads"]
        h, w = x.shape[2] // patch, x.shape[3] // patch
        # Noise of the published path is c times as large: at the same noise to signal its u' has
        # (1 - u') / (c u') = (1 - u) / u, and its state is this one's times (1 - u') / (1 - u).
        u, c = t.double() / cfg["num_train_timesteps"], cfg["noise_scale"]
        own = u / (c - (c - 1) * u)
        x = x * (c / (c - (c - 1) * u)).to(x.dtype)[:, None, None, None]
        rows = self.at("t_embedder.mlp.0")(time_features(1 - own, 256, 0).to(x.dtype))
        rows = self.at("t_embedder.mlp.2")(F.silu(rows))
        context = 0
        if cfg["num_classes"]:
            of_class = self.at("y_embedder.embedding_table")(labels)
            rows, context = rows + of_class, cfg["context_length"]
        x = self.at("x_embedder.proj1")(x).flatten(2).transpose(1, 2)
        x = self.at("x_embedder.proj2")(x) + sine_table(h, w, width, (h, w)).to(x.dtype)
        turn = turns(h, w, head, 0)
        for i in range(cfg["num_layers"]):
            def layer(name):
                return self.at(f"blocks.{i}.{name}")
            if context and i == cfg["context_start"]:
                x = torch.cat([of_class[:, None] + self.in_context_posemb[None], x], 1)
                turn = turns(h, w, head, context)
            shift, scale, gate, shift2, scale2, gate2 = layer("adaLN_modulation.1")(F.silu(rows)).chunk(6, 1)
            y = modulated(layer("norm1")(x, eps), scale, shift)
            q, k, v = (by_head(layer("attn." + name)(y), heads) for name in ("to_q", "to_k", "to_v"))
            q, k = turned(layer("attn.q_norm")(q, eps), turn), turned(layer("attn.k_norm")(k, eps), turn)
            x = x + gate[:, None] * layer("attn.proj")(attend(q, k, v).transpose(1, 2).flatten(2))
            y = modulated(layer("norm2")(x, eps), scale2, shift2)
            first, second = layer("mlp.w12")(y).chunk(2, -1)
            x = x + gate2[:, None] * layer("mlp.w3")(F.silu(first) * second)
        x = x[:, context:]
        shift, scale = self.at("final_layer.adaLN_modulation.1")(F.silu(rows)).chunk(2, 1)
        x = modulated(self.at("final_layer.norm_final")(x, eps), scale, shift)
        return as_image(self.at("final_layer.linear")(x), h, w, patch)
