#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The PyTorch side of the CPU benchmark, driven line by line on stdin so that a driver can alternate with ours.

  peer_torch_cpu.py [CONFIG] [--precision fp32|bf16] [--variants eager,compile]

CONFIG is a config.json of ours, or its text: a UNet (tests/parity/unet_reference.py), a DiT or a JiT
(peer_transformers.py).
Commands: `train B` (one training step at batch B), `sample B` (one DDPM reverse step at batch B), `sample-ddim B`,
`quit`. Each runs ONE timed repetition and answers one JSON line {"what", "layout", "variant", "seconds",
"processor_seconds"}, the last of all threads together.
The first command of a kind makes every candidate, times them in turn and keeps the fastest for good: the peer's best
counts. Candidates are both memory layouts of a UNet's images (tokens have one), each eager and compiled by torch.compile (for
sampling with the weights frozen); a PyTorch from before torch.compile has TorchScript in its place. bf16 is autocast over fp32 weights, and for
sampling a network of bf16 weights as well.

A training step: batch gathered from memory, noise, q-sample, forward, squared error of the noise, backward, gradients
clipped to norm 1, AdamW, EMA; the last three over lists of tensors, fused where this PyTorch has that.
A reverse step: the network, x0 from eps, clip to [-1, 1], the DDPM or DDIM update.
"""
import argparse
import contextlib
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
HERE = os.path.dirname(os.path.abspath(__file__))
sys.path[:0] = [HERE, os.path.join(HERE, "..", "..", "tests", "parity")]

import torch  # noqa: E402
from torch.nn import functional as F  # noqa: E402

from peer_config import image_shape, is_transformer, labels_of, numbers_of, read_config  # noqa: E402
from peer_transformers import transformer_of  # noqa: E402
from train_reference import linear_alpha_bar, make_batch, update_ema  # noqa: E402
from unet_reference import UNet2DModel, demo_config  # noqa: E402

LAYOUTS = {"contiguous": torch.contiguous_format, "channels_last": torch.channels_last}
ALPHA_BAR = linear_alpha_bar()
STEP = 500  # the reverse step that is timed; all cost the same
DATA_BYTES = 64 << 20  # of images that batches are gathered from, at most


def make_network(config):
    return transformer_of(config) or UNet2DModel(**config)


def layouts_of(config):
    return {"tokens": torch.contiguous_format} if is_transformer(config) else LAYOUTS


def arithmetic(precision):
    """Where the network runs: fp32 as it is, or autocast to bf16."""
    return torch.autocast("cpu", dtype=torch.bfloat16) if precision == "autocast" else contextlib.nullcontext()


def make_optimizer(model):
    """AdamW in one pass over all parameters, or over lists of them where it is not to be had."""
    for option in ({"fused": True}, {"foreach": True}):
        with contextlib.suppress(RuntimeError, TypeError):
            return torch.optim.AdamW(model.parameters(), 2e-4, weight_decay=1e-6, **option)
    return torch.optim.AdamW(model.parameters(), 2e-4, weight_decay=1e-6)


def make_train(config, batch, layout, variant, precision):
    """A function that takes one training step."""
    count = max(batch, min(8192, DATA_BYTES // numbers_of(config)))
    images = torch.randint(0, 256, (count, *image_shape(config)), dtype=torch.uint8)
    labels = labels_of(config, batch)
    model = make_network(config).to(memory_format=layout)
    ema = copy.deepcopy(model)
    optimizer = make_optimizer(model)
    weights, averages = list(model.parameters()), list(ema.parameters())
    clip = {"foreach": True} if hasattr(torch, "compile") else {}

    def loss_of(x_t, t, noise):
        with arithmetic(precision):
            return F.mse_loss(model(x_t, t, *labels).float(), noise)

    if variant == "compile":
        loss_of = torch.compile(loss_of)

    def step():
        t, noise, x_t = make_batch(images, batch, ALPHA_BAR)
        loss = loss_of(x_t.contiguous(memory_format=layout), t, noise)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(weights, 1.0, **clip)
        optimizer.step()
        if hasattr(torch, "_foreach_lerp_"):
            with torch.no_grad():
                torch._foreach_lerp_(averages, weights, 1 - 0.999)
        else:
            update_ema(ema, model, 0.999)

    return step


def make_sample(config, batch, layout, variant, precision, ddim):
    """A function that takes one reverse step. The state is fp32, whatever the network's arithmetic."""
    labels = labels_of(config, batch)
    model = make_network(config).to(memory_format=layout).eval()
    if precision == "bf16 weights":
        model = model.bfloat16()
    x = torch.randn(batch, *image_shape(config)).contiguous(memory_format=layout)
    t = torch.full((batch,), STEP)
    if variant in ("freeze", "optimize_for_inference"):
        with torch.no_grad():
            traced = torch.jit.trace(model, (x, t, *labels))
            model = torch.jit.freeze(traced) if variant == "freeze" else torch.jit.optimize_for_inference(traced)
    a, a_prev = ALPHA_BAR[STEP].item(), ALPHA_BAR[STEP - 1].item()
    alpha, beta = a / a_prev, 1 - a / a_prev

    def update(x, t, z):
        with arithmetic(precision):
            eps = model(x.to(model_type), t, *labels).float()
        x0 = ((x - (1 - a) ** 0.5 * eps) / a ** 0.5).clamp(-1, 1)
        if ddim:
            return a_prev ** 0.5 * x0 + (1 - a_prev) ** 0.5 * eps
        mean = a_prev ** 0.5 * beta / (1 - a) * x0 + alpha ** 0.5 * (1 - a_prev) / (1 - a) * x
        return mean + (beta * (1 - a_prev) / (1 - a)) ** 0.5 * z

    model_type = torch.bfloat16 if precision == "bf16 weights" else torch.float32
    if variant == "compile":
        update = torch.compile(update, options={"freezing": True})

    def step():
        with torch.no_grad():
            return update(x, t, None if ddim else torch.randn_like(x))

    return step


def times(step):
    """Seconds by the clock and of the processors."""
    start, work = time.perf_counter(), time.process_time()
    step()
    return time.perf_counter() - start, time.process_time() - work


def choose(config, what, batch, variants, precision):
    """(layout, variant, step): the fastest candidate, each warmed up twice and timed five times in turn."""
    precisions = ["fp32"] if precision == "fp32" else ["autocast"] if what == "train" else ["autocast", "bf16 weights"]
    if what != "train" and not hasattr(torch, "compile"):
        variants = ["eager", "freeze", "optimize_for_inference"] if precision == "fp32" else ["eager"]
    candidates = []
    for layout, memory_format in layouts_of(config).items():
        for variant in variants:
            for kind in precisions:
                name = variant if kind == "fp32" else f"{variant} {kind}"
                try:
                    step = (make_train(config, batch, memory_format, variant, kind) if what == "train" else
                            make_sample(config, batch, memory_format, variant, kind, what == "sample-ddim"))
                    step()
                    step()
                    candidates.append((layout, name, step))
                except Exception as error:  # a compiler raises what it likes
                    print(f"{layout} {name} left out: {str(error).splitlines()[0]}", file=sys.stderr)
    columns = [[] for _ in candidates]
    for repetition in range(5):
        for (_, _, step), column in zip(candidates, columns):
            column.append(times(step)[0])
    best = [min(column) for column in columns]
    for (layout, name, _), value in zip(candidates, best):
        print(f"{what} {batch} {layout} {name}: {1e3 * value:.2f} ms", file=sys.stderr)
    return candidates[best.index(min(best))]


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("config", nargs="?", help="our side's config.json, or its text; the demo's without one")
    parser.add_argument("--precision", choices=("fp32", "bf16"), default="fp32")
    parser.add_argument("--variants", default="eager,compile" if hasattr(torch, "compile") else "eager")
    args = parser.parse_args()
    torch.set_num_threads(THREADS)
    torch.manual_seed(0)
    config = read_config(args.config) if args.config else demo_config()
    print(f"PyTorch {torch.__version__}, {args.precision}", file=sys.stderr)
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
            chosen[key] = choose(config, *key, args.variants.split(","), args.precision)
        layout, variant, step = chosen[key]
        seconds, work = times(step)
        print(json.dumps({"what": line.strip(), "layout": layout, "variant": variant, "seconds": seconds,
                          "processor_seconds": work}), flush=True)


if __name__ == "__main__":
    main()
