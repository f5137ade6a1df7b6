#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes parity cases: small random UNet2DModels with inputs, outputs and every gradient.

  make_cases.py OUT [--count 24] [--seed 1] [--f64]

Each OUT/case-NN/ holds unet/ (config.json and weights, as diffusers writes them), input.safetensors (sample,
timestep, class_labels where the network has classes) and expected.safetensors (output, cotangent, grad_input and
grad.<parameter>: the gradients of sum(output * cotangent)). Expected values are computed in fp64 from the fp32
weights and inputs, but for the fp32 sinusoid. The draw repeats until every item of `REQUIRED` occurs in the set.

Some gradients are zero by nature, because a norm removes the shift that the parameter makes: conv1.bias and
time_emb_proj where a group is one channel, to_k.bias always. Compare with an absolute floor: a fraction of the
largest gradient of the case.
"""
import argparse
import json
import math
import os
import random

import torch

import safetensors_io
from unet_reference import DEFAULTS, UNet2DModel, complete_config, save_model

ABSENT = "absent"  # leave the key out of config.json
OPTIONS = dict(
    levels=[1, 2, 2, 3, 3, 4], layers_per_block=[1, 2, 3], square=[True, False], batch=[1, 2, 3],
    in_channels=[1, 3, 4], out_channels=[1, 3, 6], center_input_sample=[False, False, True],
    time_embedding_type=["positional", "positional", "positional", "fourier", "learned"],
    time_embedding_dim=[None, None, 24, 40], freq_shift=[0, 1], flip_sin_to_cos=[True, False],
    mid_block_type=["UNetMidBlock2D"] * 4 + [None], mid_block_scale_factor=[1, 1, 2, math.sqrt(0.5)],
    add_attention=[True, True, True, False], attention_head_dim=[None, 8, 16, ABSENT],
    downsample_padding=[1, 0], downsample_type=["conv", "conv", "resnet"], upsample_type=["conv", "conv", "resnet"],
    norm_num_groups=[1, 2, 3, 4, 8, 32], attn_norm_num_groups=[None, None, 2], norm_eps=[1e-5, 1e-6, 1e-3],
    resnet_time_scale_shift=["default", "scale_shift"], blocks=["plain"] * 4 + ["resnet", "skip", "skip"],
    classes=[None, None, "table", "timestep", "identity"],
    sparse=[False, False, True], legacy_names=[False] * 7 + [True])

LEGACY = {"to_q": "query", "to_k": "key", "to_v": "value", "to_out.0": "proj_attn"}


def schedule(rng, count):
    """One value of every option per case; each option's values occur equally often, in random order."""
    columns = {}
    for key, values in OPTIONS.items():
        column = []
        while len(column) < count:
            column += rng.sample(values, len(values))
        columns[key] = column
    return [{key: column[i] for key, column in columns.items()} for i in range(count)]


def draw_blocks(rng, pick, levels):
    """(down_block_types, up_block_types). Skip blocks stand next to the image in both paths, since the others would leave
    the image beside them at its size."""
    down = [rng.choice(["DownBlock2D", "AttnDownBlock2D"]) for _ in range(levels)]
    up = [rng.choice(["UpBlock2D", "AttnUpBlock2D"]) for _ in range(levels)]
    if pick["blocks"] == "resnet":
        down[rng.randrange(levels)], up[rng.randrange(levels)] = "ResnetDownsampleBlock2D", "ResnetUpsampleBlock2D"
    if pick["blocks"] == "skip":
        count = levels if pick["norm_num_groups"] is None else rng.randint(1, levels)
        for i in range(count):
            down[i] = rng.choice(["SkipDownBlock2D", "AttnSkipDownBlock2D"])
            up[-1 - i] = rng.choice(["SkipUpBlock2D", "AttnSkipUpBlock2D"])
    return down, up


def make_config(rng, pick):
    """(config, height, width) for a choice of options; widths, sizes and block types are drawn to be legal."""
    skips, levels = pick["blocks"] == "skip", pick["levels"]
    if skips:
        pick = dict(pick, in_channels=3, out_channels=3)  # the image beside the path has three
        if 32 % pick["norm_num_groups"] or rng.randrange(2):
            pick["norm_num_groups"] = None
    groups = pick["norm_num_groups"] or 32
    head = 8 if pick["attention_head_dim"] == ABSENT else pick["attention_head_dim"]
    unit = groups
    for divisor in (head, pick["attn_norm_num_groups"]):
        unit = math.lcm(unit, divisor or 1)
    smallest = -(-8 // unit)  # at least 8 channels
    widths = [unit * rng.randint(smallest, max(smallest, 40 // unit)) for _ in range(levels)]
    if skips:  # attention there has 32 groups
        widths = [32 * rng.choice([1, 1, 2]) for _ in range(levels)]
    config = {key: pick[key] for key in DEFAULTS if key in pick}
    down, up = draw_blocks(rng, pick, levels)
    if levels > 1 and pick["blocks"] == "plain":  # only an attention block with a resampler heeds these two keys
        if pick["downsample_type"] == "resnet":
            down[rng.randrange(levels - 1)] = "AttnDownBlock2D"
        if pick["upsample_type"] == "resnet":
            up[rng.randrange(levels - 1)] = "AttnUpBlock2D"
    config.update(block_out_channels=widths, down_block_types=down, up_block_types=up)
    if pick["time_embedding_type"] == "learned":
        config["num_train_timesteps"] = 50
    if pick["classes"] == "table":
        config["num_class_embeds"] = 5
    elif pick["classes"]:
        config["class_embed_type"] = pick["classes"]
    # The lowest level may have any size, odd too; those above double it. Groups of at least 8 values keep the
    # norms well conditioned.
    bottom = {1: (5, 13), 2: (3, 7), 3: (2, 4), 4: (1, 3)}[levels]
    while True:
        h = rng.randint(*bottom)
        w = h if pick["square"] else rng.randint(*bottom)
        if min(widths) // groups * h * w >= 8 and (h == w) == pick["square"]:
            break
        bottom = (bottom[0], bottom[1] + 1)
    height, width = h << (levels - 1), w << (levels - 1)
    config["sample_size"] = height if height == width else [height, width]
    if config["attention_head_dim"] == ABSENT:
        del config["attention_head_dim"]
    return config, height, width


def make_model(config, seed):
    """A network in fp64 whose weights are fp32 numbers; norms and biases are moved off their trivial initial values."""
    torch.manual_seed(seed)
    model = UNet2DModel(**config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "norm" in name or name.endswith("bias"):
                parameter += 0.3 * torch.randn_like(parameter)
    return model.double()


def make_inputs(config, batch, height, width):
    """Random inputs by name; steps and labels stay in the range their embedding knows."""
    full = complete_config(config)
    kind = full["time_embedding_type"]
    steps = full["num_train_timesteps"] if kind == "learned" else 1000
    inputs = {"sample": torch.randn(batch, full["in_channels"], height, width)}
    if kind == "fourier":  # takes the logarithm of t
        inputs["timestep"] = 1 + 998 * torch.rand(batch)
    else:
        inputs["timestep"] = torch.randint(0, steps, (batch,))
    if full["class_embed_type"] == "identity":
        dim = full["time_embedding_dim"] or 4 * full["block_out_channels"][0]
        inputs["class_labels"] = torch.randn(batch, dim)
    elif full["class_embed_type"] == "timestep":
        inputs["class_labels"] = torch.randint(1, steps, (batch,))
    elif full["num_class_embeds"] is not None:
        inputs["class_labels"] = torch.randint(0, full["num_class_embeds"], (batch,))
    return inputs


def evaluate(model, inputs):
    """Output and gradients of sum(output * cotangent) in fp64, by the names of expected.safetensors."""
    x = inputs["sample"].double().requires_grad_()
    output = model(x, inputs["timestep"], inputs.get("class_labels"))
    cotangent = torch.randn(output.shape)
    (output * cotangent).sum().backward()
    expected = {"output": output.detach(), "cotangent": cotangent, "grad_input": x.grad}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:  # all but the fixed Fourier frequencies
            unused = parameter.grad is None
            expected["grad." + name] = torch.zeros_like(parameter) if unused else parameter.grad
    for name, tensor in expected.items():
        if not tensor.isfinite().all():
            raise SystemExit(f"make_cases.py: {name} is not finite; expected finite values: run it again")
    return expected


def features(config, pick, model):
    """What this case exercises, judged by the built network, so that a key without effect does not count."""
    names = " ".join(model.state_dict())
    full = model.cfg
    attends = "attentions" in names
    found = {f"{key}={full[key]}" for key in ("time_embedding_type", "freq_shift", "flip_sin_to_cos", "norm_eps",
                                              "center_input_sample", "layers_per_block", "mid_block_type",
                                              "resnet_time_scale_shift", "norm_num_groups")}
    found |= {f"block={kind}" for kind in full["down_block_types"] + full["up_block_types"]}
    found.update(word for word, mark in (("filter down", "resnet_down"), ("filter up", "resnet_up")) if mark in names)
    found.add(f"classes={pick['classes']}")
    found.add(f"levels={pick['levels']}")
    found.add("square" if pick["square"] else "not square")
    if full["time_embedding_dim"]:
        found.add("time_embedding_dim")
    if attends:
        found.add(f"head={config.get('attention_head_dim', ABSENT)}")
        found.update(["legacy names"] if pick["legacy_names"] else [])
    if ".downsamplers.0.conv.weight" in names:
        found.add(f"padding={full['downsample_padding']}")
    found.update(word for word, mark in (("resnet down", "downsamplers.0.norm1"), ("resnet up", "upsamplers.0.norm1"))
                 if mark in names)
    if full["mid_block_type"]:
        found.add(f"mid attention={full['add_attention']}")
        if full["mid_block_scale_factor"] != 1:
            found.add("mid scale")
        if full["add_attention"]:
            found.add("mid attention norm" if "mid_block.attentions.0.group_norm" in names else "no mid attention norm")
            if full["attn_norm_num_groups"]:
                found.add("attn_norm_num_groups")
            if full["mid_block_scale_factor"] != 1:
                found.add("mid attention scale")
    if pick["levels"] > 1 and any(size >> (pick["levels"] - 1) & 1 for size in pick["size"]):
        found.add("odd lowest level")
    if pick["levels"] == 1 and any(size & 1 for size in pick["size"]):
        found.add("odd size")
    if full["block_out_channels"][0] & 1:
        found.add("odd first width")
    return found


REQUIRED = set("""
time_embedding_type=positional time_embedding_type=fourier time_embedding_type=learned freq_shift=0 freq_shift=1
flip_sin_to_cos=True flip_sin_to_cos=False norm_eps=1e-05 norm_eps=1e-06 norm_eps=0.001 center_input_sample=True
layers_per_block=1 layers_per_block=2 layers_per_block=3 mid_block_type=None resnet_time_scale_shift=default
resnet_time_scale_shift=scale_shift norm_num_groups=1 norm_num_groups=3 norm_num_groups=32 classes=table
classes=timestep classes=identity levels=1 levels=2 levels=3 levels=4 square time_embedding_dim head=None head=8
head=16 head=absent padding=0 padding=1 attn_norm_num_groups norm_num_groups=None block=ResnetDownsampleBlock2D
block=ResnetUpsampleBlock2D block=SkipDownBlock2D block=AttnSkipDownBlock2D block=SkipUpBlock2D block=AttnSkipUpBlock2D
""".split()) | {
    "filter down", "filter up",
    "not square", "legacy names", "resnet down", "resnet up", "mid attention=False", "mid scale", "mid attention scale",
    "mid attention norm", "no mid attention norm", "odd lowest level", "odd size", "odd first width"}


def draw(count, seed, required):
    """[(config, pick)]: the first draw that covers `required`."""
    for attempt in range(2000):
        rng = random.Random(1000003 * seed + attempt)
        cases, found = [], set()
        for pick in schedule(rng, count):
            config, *pick["size"] = make_config(rng, pick)
            cases.append((config, pick))
        for config, pick in cases:
            found |= features(config, pick, UNet2DModel(**config))
        if required <= found:
            return cases
    raise SystemExit(f"make_cases.py: {count} cases do not cover every feature; ask for at least 24 (--count)")


def write_case(folder, config, pick, seed, as_f64):
    os.makedirs(folder)
    model = make_model(config, seed)
    inputs = make_inputs(config, pick["batch"], *pick["size"])
    expected = evaluate(model, inputs)
    save_model(os.path.join(folder, "unet"), model)
    if pick["sparse"] or "attention_head_dim" not in config:
        drop_defaults(os.path.join(folder, "unet", "config.json"), config, pick["sparse"])
    if pick["legacy_names"]:
        rename_attention(os.path.join(folder, "unet", "diffusion_pytorch_model.safetensors"))
    safetensors_io.save(os.path.join(folder, "input.safetensors"), inputs)
    dtype = torch.float64 if as_f64 else torch.float32
    safetensors_io.save(os.path.join(folder, "expected.safetensors"),
                        {name: tensor.to(dtype) for name, tensor in expected.items()})
    return model


def drop_defaults(path, config, sparse):
    """Removes attention_head_dim where the case leaves it out and, in a sparse file, every default value."""
    with open(path) as file:
        stored = json.load(file)
    for key in list(stored):
        absent = key == "attention_head_dim" and key not in config
        if absent or (sparse and key in DEFAULTS and stored[key] == DEFAULTS[key]):
            del stored[key]
    with open(path, "w") as file:
        file.write(json.dumps(stored, indent=2, sort_keys=True) + "\n")


def rename_attention(path):
    """Gives the attention weights the names of files from before 2023 (gradients keep today's names)."""
    weights = {}
    for name, tensor in safetensors_io.load(path).items():
        for new, old in LEGACY.items():
            name = name.replace(f".{new}.", f".{old}.")
        weights[name] = tensor
    safetensors_io.save(path, weights)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out")
    parser.add_argument("--count", type=int, default=24)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--f64", action="store_true", help="store the expected values as F64 instead of F32")
    args = parser.parse_args()
    torch.set_num_threads(2)
    for i, (config, pick) in enumerate(draw(args.count, args.seed, REQUIRED)):
        folder = os.path.join(args.out, f"case-{i:02d}")
        model = write_case(folder, config, pick, 1000 * args.seed + i, args.f64)
        count = sum(p.numel() for p in model.parameters())
        shown = {k: v for k, v in config.items() if DEFAULTS[k] != v}
        print(f"{folder}: batch {pick['batch']}, {count} parameters, {json.dumps(shown)}"
              + (", legacy names" if pick["legacy_names"] else ""), flush=True)


if __name__ == "__main__":
    main()
