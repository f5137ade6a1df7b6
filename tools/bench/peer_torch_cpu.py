#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The PyTorch side of the CPU benchmark, driven line by line on stdin so that a driver can alternate with ours.

Commands: `train B` (one training step at batch B), `sample B` (one DDPM reverse step at batch B), `sample-ddim B`,
`quit`. Each runs ONE timed repetition and answers one JSON line {"what", "layout", "variant", "seconds"}.
The first command of a kind first tries both memory layouts (and, for sampling, eager, frozen and optimised TorchScript)
and keeps the fastest for good: the peer's best counts.

A training step: batch gathered from memory, noise, q-sample, forward, backward, clip_grad_norm_ 1.0, AdamW, EMA.
A reverse step: the network, x0 from eps, clip to [-1, 1], the DDPM or DDIM update.
"""
import copy
import json
import os
import sys
import time

# These two pin OpenBLAS to another processor's kernels; the library reads them when it loads.
PINS = ("OPENBLAS_CORETYPE", "OPENBLAS_L2_SIZE")
if any(pin in os.environ for pin in PINS):
    os.execve(sys.executable, [sys.executable] + sys.argv,
              {name: value for name, value in os.environ.items() if name not in PINS})

THREADS = int(os.environ.setdefault("OMP_NUM_THREADS", "2"))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests", "parity"))

import torch  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from train_reference import linear_alpha_bar, make_batch, update_ema  # noqa: E402
from unet_reference import UNet2DModel, demo_config  # noqa: E402

LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
ALPHA_BAR = linear_alpha_bar()
STEP = 500  # the reverse step that is timed; all cost the same


def make_train(config, batch, layout):
    """A function that takes one training step."""
    size = config["sample_size"]
    images = torch.randint(0, 256, (8192, size, size), dtype=torch.uint8)
    model = UNet2DModel(**config).to(memory_format=layout)
    ema = copy.deepcopy(model)
    optimizer = torch.optim.AdamW(model.parameters(), 2e-4, weight_decay=1e-6)

    def step():
        t, noise, x_t = make_batch(images, batch, ALPHA_BAR)
        loss = F.mse_loss(model(x_t.contiguous(memory_format=layout), t), noise)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        update_ema(ema, model, 0.999)

    return step


def make_sample(config, batch, layout, variant, ddim):
    """A function that takes one reverse step."""
    size = config["sample_size"]
    model = UNet2DModel(**config).to(memory_format=layout).eval()
    x = torch.randn(batch, config["in_channels"], size, size).contiguous(memory_format=layout)
    t = torch.full((batch,), STEP)
    if variant != "eager":
        with torch.no_grad():
            traced = torch.jit.trace(model, (x, t))
            model = torch.jit.freeze(traced) if variant == "freeze" else torch.jit.optimize_for_inference(traced)
    a, a_prev = ALPHA_BAR[STEP].item(), ALPHA_BAR[STEP - 1].item()
    alpha, beta = a / a_prev, 1 - a / a_prev

    def step():
        with torch.no_grad():
            eps = model(x, t)
            x0 = ((x - (1 - a) ** 0.5 * eps) / a ** 0.5).clamp_(-1, 1)
            if ddim:
                return a_prev ** 0.5 * x0 + (1 - a_prev) ** 0.5 * eps
            mean = a_prev ** 0.5 * beta / (1 - a) * x0 + alpha ** 0.5 * (1 - a_prev) / (1 - a) * x
            return mean + (beta * (1 - a_prev) / (1 - a)) ** 0.5 * torch.randn_like(x)

    return step


def seconds(step):
    start = time.perf_counter()
    step()
    return time.perf_counter() - start


def choose(config, what, batch):
    """(layout, variant, step): the fastest candidate, each warmed up twice and timed five times in turn."""
    candidates = []
    for layout, memory_format in LAYOUTS.items():
        if what == "train":
            candidates.append((layout, "eager", make_train(config, batch, memory_format)))
            continue
        for variant in ("eager", "freeze", "optimize_for_inference"):
            try:
                step = make_sample(config, batch, memory_format, variant, what == "sample-ddim")
                step()
                candidates.append((layout, variant, step))
            except RuntimeError as error:
                print(f"{layout} {variant} left out: {str(error).splitlines()[0]}", file=sys.stderr)
    times = [[] for _ in candidates]
    for repetition in range(7):
        for (_, _, step), column in zip(candidates, times):
            column.append(seconds(step))
    best = [min(column[2:]) for column in times]
    for (layout, variant, _), value in zip(candidates, best):
        print(f"{what} {batch} {layout} {variant}: {1e3 * value:.2f} ms", file=sys.stderr)
    return candidates[best.index(min(best))]


def main():
    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    config = demo_config()
    if len(sys.argv) > 1:  # our side's unet/config.json
        with open(sys.argv[1]) as file:
            config.update(json.load(file))
    chosen = {}
    for line in sys.stdin:
        words = line.split()
        if not words:
            continue
        if words[0] == "quit":
            return
        if len(words) != 2 or words[0] not in ("train", "sample", "sample-ddim") or not words[1].isdigit():
            print(json.dumps({"error": f"unknown command: {line.strip()}; expected train N, sample N or quit"}),
                  flush=True)
            continue
        key = (words[0], int(words[1]))
        if key not in chosen:
            chosen[key] = choose(config, *key)
        layout, variant, step = chosen[key]
        print(json.dumps({"what": line.strip(), "layout": layout, "variant": variant, "seconds": seconds(step)}),
              flush=True)


if __name__ == "__main__":
    main()
