#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Trains the demo's network with plain PyTorch, to compare loss curves.

  train_reference.py FOLDER --images train-images-idx3-ubyte.gz [--steps 1000] [--batch 64] [--csv loss.csv]

Starts from FOLDER/unet, or writes it first, with fresh weights, if it is not there: so both programs can start from
the same weights. Images are 28x28 scaled to [-1, 1]; eps prediction, linear betas, T = 1000.
"""
import argparse
import copy
import gzip
import os

import torch
from torch.nn import functional as F

from unet_reference import UNet2DModel, demo_config, load_model, save_model


def read_images(path):
    """(N, 28, 28) bytes of an idx3 file."""
    with gzip.open(path) as file:
        data = bytearray(file.read())
    count, height, width = (int.from_bytes(data[i:i + 4], "big") for i in (4, 8, 12))
    return torch.frombuffer(data, dtype=torch.uint8, offset=16).reshape(count, height, width)


def make_batch(images, batch, alpha_bar):
    """Random images x0 of images (N, H, W) or (N, C, H, W), steps t, noise and the noised x_t."""
    x0 = images[torch.randint(len(images), (batch,))].float().reshape(batch, -1, *images.shape[-2:]) / 127.5 - 1
    t = torch.randint(len(alpha_bar), (batch,))
    noise = torch.randn_like(x0)
    a = alpha_bar[t].reshape(-1, 1, 1, 1)
    return t, noise, a.sqrt() * x0 + (1 - a).sqrt() * noise


def linear_alpha_bar(steps=1000):
    return torch.cumprod(1 - torch.linspace(1e-4, 0.02, steps), 0)


def update_ema(ema, model, decay):
    with torch.no_grad():
        averages = list(ema.parameters())
        torch._foreach_mul_(averages, decay)
        torch._foreach_add_(averages, [p.detach() for p in model.parameters()], alpha=1 - decay)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("folder")
    parser.add_argument("--images", required=True)
    parser.add_argument("--steps", type=int, default=1000)
    parser.add_argument("--batch", type=int, default=64)
    parser.add_argument("--lr", type=float, default=2e-4)
    parser.add_argument("--weight-decay", type=float, default=1e-6)
    parser.add_argument("--ema-decay", type=float, default=0.999)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--csv", help="loss of every step")
    parser.add_argument("--out", help="write the averaged weights to OUT/unet")
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    unet = os.path.join(args.folder, "unet")
    if not os.path.exists(os.path.join(unet, "config.json")):
        save_model(unet, UNet2DModel(**demo_config()))
    model = load_model(unet)
    ema = copy.deepcopy(model)
    images, alpha_bar = read_images(args.images), linear_alpha_bar()
    optimizer = torch.optim.AdamW(model.parameters(), args.lr, weight_decay=args.weight_decay)
    losses = []
    for step in range(1, args.steps + 1):
        t, noise, x_t = make_batch(images, args.batch, alpha_bar)
        loss = F.mse_loss(model(x_t, t), noise)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        update_ema(ema, model, args.ema_decay)
        losses.append(loss.item())
        if step % 50 == 0 or step == args.steps:
            recent = losses[-50:]
            print(f"step {step}: mean loss of the last {len(recent)} steps {sum(recent) / len(recent):.5f}", flush=True)
    if args.csv:
        with open(args.csv, "w") as file:
            file.write("step,loss\n" + "".join(f"{i},{loss:.8g}\n" for i, loss in enumerate(losses, 1)))
    if args.out:
        save_model(os.path.join(args.out, "unet"), ema)


if __name__ == "__main__":
    main()
