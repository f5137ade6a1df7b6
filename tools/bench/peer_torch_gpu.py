#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The PyTorch side of the GPU benchmark: one way of running it a process, driven line by line on standard input so that
tools/gpu_check.sh can alternate it with `ito bench --serve`.

Commands: `train B` (a training step at batch B), `sample B` (a DDPM reverse step at batch B), `quit`. Each runs one timed
repetition and answers one JSON line {"what", "variant", "seconds", "device_seconds", ...}: the host's clock from before
the first launch until the device is done, and the device's own events, both of one step. A repetition is one training
step, and ten reverse steps without a wait in between, as in `ito bench`: a loop waits for no step of its own. A command's
first use sets it up and warms it.

Variants: `eager`; `graph`, the whole step captured into one CUDA graph; `compile`, the network and its loss compiled by
torch.compile, then the whole step in one CUDA graph; `autotune`, the same with kernels that were timed beforehand, for
minutes. Memory is channels_last, attention is the fused one where PyTorch
has it, AdamW is fused. In bf16 training keeps fp32 masters (autocast), as ours does; sampling has a bf16 network.

CONFIG is a config.json of ours, or its text: a UNet, or a DiT or JiT (peer_transformers.py).

A training step: the batch from page-locked memory, noise, q-sample, forward, backward, clip to norm 1, AdamW, EMA.
A reverse step: the network, x0 from eps, clip to [-1, 1], the DDPM update with its noise.
"""
import argparse
import copy
import json
import os
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(HERE, "..", "..", "tests", "parity"))  # in a pack it lies beside this file
sys.path.insert(0, HERE)

import torch  # noqa: E402
from torch.nn import functional as F  # noqa: E402

import unet_reference  # noqa: E402
from peer_config import image_shape, is_transformer, labels_of, read_config  # noqa: E402

STEPS = 1000
# Steps of a repetition; ito bench has the same.
IN_A_ROW = {"train": 1, "sample": 10}
DDPM_CIFAR10 = dict(
    sample_size=32, in_channels=3, out_channels=3, block_out_channels=[128, 256, 256, 256], layers_per_block=2,
    down_block_types=["DownBlock2D", "AttnDownBlock2D", "DownBlock2D", "DownBlock2D"],
    up_block_types=["UpBlock2D", "UpBlock2D", "AttnUpBlock2D", "UpBlock2D"], norm_num_groups=32,
    attention_head_dim=None, freq_shift=1, flip_sin_to_cos=False, downsample_padding=0, norm_eps=1e-6)


class Sinusoid(torch.nn.Module):
    """The reference's, with its frequencies kept on the device, so that a step copies nothing there."""

    def __init__(self, width, config):
        super().__init__()
        half = width // 2
        exponent = -torch.arange(half, dtype=torch.float64) / (half - config["freq_shift"])
        self.register_buffer("frequencies", (10000.0 ** exponent).float(), persistent=False)
        self.flip = config["flip_sin_to_cos"]

    def forward(self, t):
        angle = t.float()[:, None] * self.frequencies.float()[None]
        return torch.cat([angle.cos(), angle.sin()] if self.flip else [angle.sin(), angle.cos()], 1)


class FusedAttention(unet_reference.Attention):
    """The reference's, through PyTorch's fused kernel."""

    def forward(self, x):
        n, _, height, width = x.shape
        h = (x if self.group_norm is None else self.group_norm(x)).flatten(2).transpose(1, 2)
        q, k, v = [linear(h).view(n, height * width, self.heads, self.head_dim).transpose(1, 2)
                   for linear in (self.to_q, self.to_k, self.to_v)]
        h = F.scaled_dot_product_attention(q, k, v).transpose(1, 2).flatten(2)
        h = x + self.to_out[0](h).transpose(1, 2).reshape(x.shape)
        return h if self.scale == 1 else h / self.scale


def make_unet(config):
    network = unet_reference.UNet2DModel(**config)
    if network.cfg["time_embedding_type"] == "positional":
        network.time_proj = Sinusoid(network.cfg["block_out_channels"][0], network.cfg)
    if hasattr(F, "scaled_dot_product_attention"):
        for module in network.modules():
            if type(module) is unet_reference.Attention:
                module.__class__ = FusedAttention
    return network


def make_network(config, device):
    if is_transformer(config):
        from peer_transformers import transformer_of  # which a pack for another machine leaves out
        network = transformer_of(config, device)
    else:
        network = make_unet(config)
    return network.to(device).to(memory_format=torch.channels_last)


def config_of(args):
    if args.config:
        return read_config(args.config)
    return unet_reference.demo_config() if args.model == "demo" else unet_reference.complete_config(DDPM_CIFAR10)


class Peer:
    def __init__(self, args):
        self.args, self.device, self.config = args, args.device, config_of(args)
        self.alpha_bar = torch.cumprod(1 - torch.linspace(1e-4, 0.02, STEPS), 0).to(self.device)
        self.ready = {}

    @property
    def on_gpu(self):
        return self.device == "cuda"

    def images(self, batch):
        return torch.rand(batch, *image_shape(self.config)).mul(2).sub(1).contiguous(memory_format=torch.channels_last)

    def compiled(self, function):
        if self.args.variant not in ("compile", "autotune"):
            return function
        return torch.compile(function, mode="max-autotune-no-cudagraphs" if self.args.variant == "autotune" else None)

    def train_step(self, batch):
        network, labels = make_network(self.config, self.device), labels_of(self.config, batch, self.device)
        ema = copy.deepcopy(network).requires_grad_(False)
        parameters, averages = list(network.parameters()), list(ema.parameters())
        options = dict(fused=True, capturable=self.args.variant != "eager") if self.on_gpu else {}
        optimizer = torch.optim.AdamW(parameters, 1e-4, betas=(0.95, 0.999), weight_decay=1e-6, **options)
        source = self.images(batch)
        source = source.pin_memory() if self.on_gpu else source
        x0 = torch.empty_like(source, device=self.device)

        def loss_of(x_t, t, noise):
            with torch.autocast(self.device, dtype=torch.bfloat16, enabled=self.args.precision == "bf16"):
                prediction = network(x_t, t, *labels)
            return F.mse_loss(prediction.float(), noise)

        loss_function = self.compiled(loss_of)

        def step():
            x0.copy_(source, non_blocking=True)
            t = torch.randint(STEPS, (batch,), device=self.device)
            noise = torch.randn_like(x0)
            a = self.alpha_bar[t].reshape(-1, 1, 1, 1)
            optimizer.zero_grad(set_to_none=True)
            loss_function(a.sqrt() * x0 + (1 - a).sqrt() * noise, t, noise).backward()
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
            with torch.no_grad():
                torch._foreach_mul_(averages, 0.9999)
                torch._foreach_add_(averages, [p.detach() for p in parameters], alpha=1e-4)

        return step

    def sample_step(self, batch):
        network, labels = make_network(self.config, self.device), labels_of(self.config, batch, self.device)
        network.eval().requires_grad_(False)
        dtype = torch.bfloat16 if self.args.precision == "bf16" else torch.float32
        network = self.compiled(network.to(dtype))
        x = self.images(batch).to(self.device)
        t = torch.full((batch,), STEPS // 2, device=self.device)
        a, before = self.alpha_bar[STEPS // 2].item(), self.alpha_bar[STEPS // 2 - 1].item()
        alpha, beta = a / before, 1 - a / before

        def step():
            with torch.no_grad():
                eps = network(x.to(dtype), t, *labels).float()
                x0 = ((x - (1 - a) ** 0.5 * eps) / a ** 0.5).clamp_(-1, 1)
                mean = before ** 0.5 * beta / (1 - a) * x0 + alpha ** 0.5 * (1 - before) / (1 - a) * x
                x.copy_(mean + (beta * (1 - before) / (1 - a)) ** 0.5 * torch.randn_like(x))

        return step

    def set_up(self, what, batch):
        step = self.train_step(batch) if what == "train" else self.sample_step(batch)
        if not self.on_gpu or self.args.variant == "eager":
            for _ in range(3):
                step()
            return step
        side = torch.cuda.Stream()
        side.wait_stream(torch.cuda.current_stream())
        with torch.cuda.stream(side):
            for _ in range(4):
                step()
        torch.cuda.current_stream().wait_stream(side)
        graph = torch.cuda.CUDAGraph()
        with torch.cuda.graph(graph):
            step()
        for _ in range(3):
            graph.replay()
        return graph.replay

    def run(self, what, batch):
        if (what, batch) not in self.ready:
            self.ready[what, batch] = self.set_up(what, batch)
        step, count = self.ready[what, batch], IN_A_ROW[what]
        answer = {"what": f"{what} {batch}", "variant": self.args.variant, "precision": self.args.precision}
        if not self.on_gpu:
            start = time.perf_counter()
            for _ in range(count):
                step()
            return dict(answer, seconds=(time.perf_counter() - start) / count)
        begin, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
        torch.cuda.synchronize()
        start = time.perf_counter()
        begin.record()
        for _ in range(count):
            step()
        end.record()
        torch.cuda.synchronize()
        seconds = time.perf_counter() - start
        return dict(answer, seconds=seconds / count, device_seconds=begin.elapsed_time(end) / 1e3 / count,
                    torch=torch.__version__, card=torch.cuda.get_device_name())


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("config", nargs="?", help="our side's config.json, or its text; --model's without one")
    parser.add_argument("--model", default="ddpm-cifar10", choices=["demo", "ddpm-cifar10"])
    parser.add_argument("--precision", default="bf16", choices=["fp32", "bf16"])
    parser.add_argument("--variant", default="eager", choices=["eager", "graph", "compile", "autotune"])
    parser.add_argument("--device", default="cuda", choices=["cuda", "cpu"], help="cpu: to try the script itself")
    args = parser.parse_args()
    if args.device == "cuda" and not torch.cuda.is_available():
        raise SystemExit("peer_torch_gpu.py: PyTorch finds no CUDA device")
    torch.manual_seed(0)
    if args.device == "cuda":
        torch.backends.cudnn.benchmark = True
        torch.set_float32_matmul_precision("high")
    peer = Peer(args)
    for line in sys.stdin:
        words = line.split()
        if words == ["quit"]:
            return
        if len(words) != 2 or words[0] not in ("train", "sample") or not words[1].isdigit():
            print(json.dumps({"error": f"unknown command: {line.strip()}; expected train N, sample N or quit"}),
                  flush=True)
            continue
        try:
            print(json.dumps(peer.run(words[0], int(words[1]))), flush=True)
        except Exception as error:  # the driver goes on with other commands
            text = " ".join(f"{type(error).__name__}: {error}".split())
            print(json.dumps({"error": text[:400]}), flush=True)


if __name__ == "__main__":
    main()
