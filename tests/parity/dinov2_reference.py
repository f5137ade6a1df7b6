# SPDX-License-Identifier: Apache-2.0
"""A small DINOv2 of random weights, in PyTorch and fp64, for tests/only/cpu/test_dinov2_parity.cpp.

Writes OUT/release.safetensors and OUT/transformers.safetensors, the same weights under two releases' names,
OUT/images.safetensors with `samples` of whole levels, and OUT/features.safetensors with what the network makes of them.
"""
import os
import sys

import torch
import torch.nn.functional as F

import safetensors_io

SIDE, WIDTH, HEAD, PATCH, TRAINED, HIDDEN, LAYERS = 224, 128, 64, 28, 11, 200, 2
MEAN, DEVIATION = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
LAYER_NAMES = {"attn.proj": "attention.output.dense", "ls1.gamma": "layer_scale1.lambda1",
               "ls2.gamma": "layer_scale2.lambda1"}


def draw_weights():
    def normal(*shape, scale=1.0, mean=0.0):
        return mean + scale * torch.randn(shape, dtype=torch.float64)

    def linear(name, rows, columns):
        return {f"{name}.weight": normal(rows, columns, scale=columns ** -0.5), f"{name}.bias": normal(rows, scale=0.3)}

    def norm(name):
        return {f"{name}.weight": normal(WIDTH, scale=0.3, mean=1.0), f"{name}.bias": normal(WIDTH, scale=0.3)}

    weights = {"cls_token": normal(1, 1, WIDTH), "pos_embed": normal(1, 1 + TRAINED ** 2, WIDTH),
               "patch_embed.proj.weight": normal(WIDTH, 3, PATCH, PATCH, scale=(3 * PATCH * PATCH) ** -0.5),
               "patch_embed.proj.bias": normal(WIDTH), **norm("norm")}
    for i in range(LAYERS):
        layer = {**norm("norm1"), **linear("attn.qkv", 3 * WIDTH, WIDTH), **linear("attn.proj", WIDTH, WIDTH),
                 "ls1.gamma": normal(WIDTH), **norm("norm2"), **linear("mlp.fc1", HIDDEN, WIDTH),
                 **linear("mlp.fc2", WIDTH, HIDDEN), "ls2.gamma": normal(WIDTH)}
        weights.update({f"blocks.{i}.{name}": tensor for name, tensor in layer.items()})
    return {name: tensor.float().double() for name, tensor in weights.items()}  # as the files hold them


def features(w, levels):
    """levels (N, 3, SIDE, SIDE), 0 to 255 -> (N, WIDTH)."""
    shape = (1, 3, 1, 1)
    x = (levels / 255 - torch.tensor(MEAN).double().view(shape)) / torch.tensor(DEVIATION).double().view(shape)
    x = F.conv2d(x, w["patch_embed.proj.weight"], w["patch_embed.proj.bias"], stride=PATCH)
    grid = x.shape[-1]
    positions = w["pos_embed"][:, 1:].reshape(1, TRAINED, TRAINED, WIDTH).permute(0, 3, 1, 2)
    positions = F.interpolate(positions, scale_factor=(grid + 0.1) / TRAINED, mode="bicubic")
    assert positions.shape[-1] == grid
    x = (x + positions).flatten(2).transpose(1, 2)
    first = (w["cls_token"] + w["pos_embed"][:, :1]).expand(len(x), 1, WIDTH)
    x = torch.cat([first, x], 1)

    def norm(name, value):
        return F.layer_norm(value, (WIDTH,), w[f"{name}.weight"], w[f"{name}.bias"], 1e-6)

    def linear(name, value):
        return F.linear(value, w[f"{name}.weight"], w[f"{name}.bias"])

    for i in range(LAYERS):
        b = f"blocks.{i}"
        qkv = linear(f"{b}.attn.qkv", norm(f"{b}.norm1", x))
        q, k, v = qkv.reshape(len(x), -1, 3, WIDTH // HEAD, HEAD).permute(2, 0, 3, 1, 4)
        h = torch.softmax(q @ k.transpose(-1, -2) / HEAD ** 0.5, -1) @ v
        h = linear(f"{b}.attn.proj", h.transpose(1, 2).reshape(x.shape))
        x = x + w[f"{b}.ls1.gamma"] * h
        h = linear(f"{b}.mlp.fc2", F.gelu(linear(f"{b}.mlp.fc1", norm(f"{b}.norm2", x))))
        x = x + w[f"{b}.ls2.gamma"] * h
    return norm("norm", x)[:, 0]


def transformers_names(weights):
    renamed = {"embeddings.cls_token": weights["cls_token"], "embeddings.position_embeddings": weights["pos_embed"]}
    for kind in ("weight", "bias"):
        renamed[f"embeddings.patch_embeddings.projection.{kind}"] = weights[f"patch_embed.proj.{kind}"]
        renamed[f"layernorm.{kind}"] = weights[f"norm.{kind}"]
    for name, tensor in weights.items():
        if not name.startswith("blocks."):
            continue
        _, number, rest = name.split(".", 2)
        place = f"encoder.layer.{number}."
        if rest.startswith("attn.qkv"):
            for part, value in zip(("query", "key", "value"), tensor.chunk(3)):
                renamed[f"{place}attention.attention.{part}.{rest.rsplit('.', 1)[1]}"] = value.clone()
            continue
        for ours, theirs in LAYER_NAMES.items():
            rest = rest.replace(ours, theirs)
        renamed[place + rest] = tensor
    return renamed


def main():
    out = sys.argv[1]
    os.makedirs(out, exist_ok=True)
    torch.manual_seed(3)
    weights = draw_weights()
    levels = torch.randint(0, 256, (3, 3, SIDE, SIDE)).double()
    with torch.no_grad():
        found = features(weights, levels)
    for name, tensors in (("release", weights), ("transformers", transformers_names(weights))):
        tensors = {"mask_token": torch.zeros(1, WIDTH), **tensors}  # which nothing here reads
        safetensors_io.save(f"{out}/{name}.safetensors", {n: t.float() for n, t in tensors.items()})
    safetensors_io.save(f"{out}/images.safetensors", {"samples": (levels / 127.5 - 1).float()})
    safetensors_io.save(f"{out}/features.safetensors", {"features": found.float()})


if __name__ == "__main__":
    main()
