#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Writes parity cases of transformers: small random DiT and JiT networks with inputs, outputs and every gradient.

  make_transformer_cases.py OUT [--count 8] [--seed 1]

Half of them are of each class. Each OUT/case-NN/ is as make_cases.py writes it, with transformer/ in place of unet/.
"""
import argparse
import json
import os
import random

import torch

import safetensors_io
from make_cases import evaluate
from transformer_reference import DiT, JiT

DIT = dict(num_attention_heads=[1, 2, 3], attention_head_dim=[8, 12, 16], in_channels=[1, 3, 4],
           out_channels=[None, 2, 8], num_layers=[1, 2, 3], patch_size=[1, 2, 4],
           activation_fn=["gelu-approximate", "gelu"], num_embeds_ada_norm=[1, 5], norm_eps=[1e-5, 1e-6],
           norm_elementwise_affine=[False, True])
JIT = dict(num_attention_heads=[1, 2, 3], attention_head_dim=[8, 12, 16], in_channels=[1, 3, 4],
           bottleneck_dim=[3, 8, 20], num_layers=[2, 3], patch_size=[1, 2, 4], mlp_ratio=[2.0, 3.3, 4.0],
           num_classes=[None, 1, 5], context_length=[3, 4, 0], context_start=[0, 1], norm_eps=[1e-5, 1e-6],
           noise_scale=[1.0, 2.0], num_train_timesteps=[1000, 50])


def draw(rng, options, count):
    """Every value of an option occurs equally often, in random order."""
    columns = {}
    for key, values in options.items():
        column = []
        while len(column) < count:
            column += rng.sample(values, len(values))
        columns[key] = column[:count]
    return [{key: column[i] for key, column in columns.items()} for i in range(count)]


def write_case(folder, kind, config, rng, seed):
    torch.manual_seed(seed)
    patch, batch = config["patch_size"], rng.randint(1, 3)
    height, width = patch * rng.randint(1, 4), patch * rng.randint(2, 4)
    if kind is JiT:
        config["sample_size"] = height if height == width else [height, width]
    else:  # positions of another size than the configuration's are put on its grid
        config["sample_size"] = patch * rng.randint(2, 4)
    model = kind(config)
    with torch.no_grad():  # weights as after some training
        for name, parameter in model.named_parameters():
            if "norm" in name or name.endswith("bias") or "table" in name or "posemb" in name:
                parameter += 0.3 * torch.randn_like(parameter)
    os.makedirs(os.path.join(folder, "transformer"))
    weights = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    safetensors_io.save(os.path.join(folder, "transformer", "diffusion_pytorch_model.safetensors"), weights)
    with open(os.path.join(folder, "transformer", "config.json"), "w") as file:
        file.write(json.dumps({"_class_name": kind.CLASS_NAME, **config}, indent=2, sort_keys=True) + "\n")
    inputs = {"sample": torch.randn(batch, config["in_channels"], height, width),
              "timestep": torch.randint(0, config.get("num_train_timesteps", 1000), (batch,))}
    classes = config.get("num_classes", config.get("num_embeds_ada_norm"))
    if classes:
        inputs["class_labels"] = torch.randint(0, classes + 1, (batch,))
    expected = evaluate(model.double(), inputs)
    safetensors_io.save(os.path.join(folder, "input.safetensors"), inputs)
    safetensors_io.save(os.path.join(folder, "expected.safetensors"),
                        {name: tensor.float() for name, tensor in expected.items()})
    print(f"{folder}: {height} x {width}, batch {batch}, {json.dumps(config)}", flush=True)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out")
    parser.add_argument("--count", type=int, default=8)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    torch.set_num_threads(2)
    rng = random.Random(args.seed)
    half = args.count // 2
    drawn = [(DiT, config) for config in draw(rng, DIT, args.count - half)]
    drawn += [(JiT, config) for config in draw(rng, JIT, half)]
    for i, (kind, config) in enumerate(drawn):
        write_case(os.path.join(args.out, f"case-{i:02d}"), kind, config, rng, 1000 * args.seed + i)


if __name__ == "__main__":
    main()
