# SPDX-License-Identifier: Apache-2.0
"""A plain PyTorch UNet2DModel: the oracle of the parity tests and the peer of the CPU benchmark.

Takes the keys of a diffusers `unet/config.json` and has the same state-dict names, shapes and arithmetic, so a
folder written for one loads into the other. Images are (N, C, H, W). The sinusoid of the time embedding is always
fp32, whatever the type of the weights, because that is what diffusers computes; everything else follows the weights.
"""
import json
import math
import os

import torch
from torch import nn
from torch.nn import functional as F

import safetensors_io

DEFAULTS = dict(
    sample_size=None, in_channels=3, out_channels=3, center_input_sample=False, time_embedding_type="positional",
    time_embedding_dim=None, freq_shift=0, flip_sin_to_cos=True,
    down_block_types=["DownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D", "AttnDownBlock2D"],
    mid_block_type="UNetMidBlock2D",
    up_block_types=["AttnUpBlock2D", "AttnUpBlock2D", "AttnUpBlock2D", "UpBlock2D"],
    block_out_channels=[224, 448, 672, 896], layers_per_block=2, mid_block_scale_factor=1, downsample_padding=1,
    downsample_type="conv", upsample_type="conv", dropout=0.0, act_fn="silu", attention_head_dim=8,
    norm_num_groups=32, attn_norm_num_groups=None, norm_eps=1e-5, resnet_time_scale_shift="default",
    add_attention=True, class_embed_type=None, num_class_embeds=None, num_train_timesteps=None)

ACTIVATIONS = {"silu": nn.SiLU, "swish": nn.SiLU, "mish": nn.Mish, "gelu": nn.GELU, "relu": nn.ReLU}


def complete_config(config):
    """The config with every key: absent ones take the library's default. An explicit null stays null."""
    full = dict(DEFAULTS)
    full.update({key: value for key, value in config.items() if key in DEFAULTS})
    return full


def sinusoid(t, width, freq_shift, flip_sin_to_cos):
    """(N,) -> (N, width) fp32: sin and cos of t * 10000^(-i / (width/2 - freq_shift)), a zero last if width is odd."""
    half = width // 2
    exponent = -math.log(10000) * torch.arange(half, dtype=torch.float32) / (half - freq_shift)
    angle = t.float()[:, None] * torch.exp(exponent)[None]
    parts = [angle.cos(), angle.sin()] if flip_sin_to_cos else [angle.sin(), angle.cos()]
    return F.pad(torch.cat(parts, 1), (0, width % 2))


class FourierProjection(nn.Module):
    """Random fixed frequencies of log t: (N,) -> (N, 2 * width), in fp32."""

    def __init__(self, width, scale=16.0):
        super().__init__()
        self.weight = nn.Parameter(torch.randn(width) * scale, requires_grad=False)

    def forward(self, t):
        # The order of the products matters: angles reach thousands, where one fp32 rounding is 1e-4 radians.
        angle = torch.log(t.float())[:, None] * self.weight.float()[None] * 2 * math.pi
        return torch.cat([angle.sin(), angle.cos()], 1)


class TimestepEmbedding(nn.Module):
    def __init__(self, width, dim):
        super().__init__()
        self.linear_1 = nn.Linear(width, dim)
        self.linear_2 = nn.Linear(dim, dim)

    def forward(self, x):
        return self.linear_2(F.silu(self.linear_1(x)))


class Resample(nn.Module):
    """3x3 convolution with stride 2 after the padding, or after doubling the size."""

    def __init__(self, channels, up, padding=1):
        super().__init__()
        self.up = up
        self.one_sided = not up and padding == 0  # one zero column on the right and one zero row at the bottom
        self.conv = nn.Conv2d(channels, channels, 3, stride=1 if up else 2, padding=padding)

    def forward(self, x):
        if self.up:
            x = F.interpolate(x, scale_factor=2.0, mode="nearest")
        elif self.one_sided:
            x = F.pad(x, (0, 1, 0, 1))
        return self.conv(x)


def fir(x, up):
    """Twice or half the size through the filter (1, 3, 3, 1) of both axes, by its definition: `up` puts zeros behind
    every row and column first, and both take zeros around the image."""
    channels = x.shape[1]
    taps = torch.tensor([1.0, 3, 3, 1], dtype=x.dtype)
    taps = torch.outer(taps, taps) / (16 if up else 64)
    if up:
        spread = x.new_zeros(*x.shape[:2], 2 * x.shape[2], 2 * x.shape[3])
        spread[:, :, ::2, ::2] = x
        x = F.pad(spread, (2, 1, 2, 1))
    else:
        x = F.pad(x, (1, 1, 1, 1))
    return F.conv2d(x, taps.expand(channels, 1, 4, 4), stride=1 if up else 2, groups=channels)


def groups_of(channels):
    """Groups of the norms of NCSN++ blocks, and of all others where norm_num_groups is null."""
    return min(channels // 4, 32)


class ResnetBlock(nn.Module):
    """`resample` ("up", "down", "fir up", "fir down" or None) sits between the first activation and conv1, and on the
    shortcut. groups: of the two norms, where they are not the configuration's."""

    def __init__(self, c_in, c_out, dim, cfg, scale=1, resample=None, groups=None, projected=False):
        super().__init__()
        eps = cfg["norm_eps"]
        groups_in, groups_out = groups or [cfg["norm_num_groups"] or groups_of(c) for c in (c_in, c_out)]
        self.scale_shift = cfg["resnet_time_scale_shift"] == "scale_shift"
        self.scale, self.resample = scale, resample
        self.norm1 = nn.GroupNorm(groups_in, c_in, eps)
        self.conv1 = nn.Conv2d(c_in, c_out, 3, padding=1)
        self.time_emb_proj = nn.Linear(dim, 2 * c_out if self.scale_shift else c_out)
        self.norm2 = nn.GroupNorm(groups_out, c_out, eps)
        self.dropout = nn.Dropout(cfg["dropout"])
        self.conv2 = nn.Conv2d(c_out, c_out, 3, padding=1)
        self.act = ACTIVATIONS[cfg["act_fn"]]()
        self.conv_shortcut = nn.Conv2d(c_in, c_out, 1) if projected or c_in != c_out else None

    def resized(self, x):
        if self.resample in ("fir up", "fir down"):
            return fir(x, self.resample == "fir up")
        if self.resample == "up":
            return F.interpolate(x, scale_factor=2.0, mode="nearest")
        return F.avg_pool2d(x, 2, 2) if self.resample == "down" else x

    def forward(self, x, emb):  # emb (N, dim): the time embedding after the activation
        h = self.conv1(self.resized(self.act(self.norm1(x))))
        time = self.time_emb_proj(emb)[:, :, None, None]
        if self.scale_shift:
            scale, shift = time.chunk(2, 1)
            h = self.norm2(h) * (1 + scale) + shift
        else:
            h = self.norm2(h + time)
        h = self.conv2(self.dropout(self.act(h)))
        x = self.resized(x)
        if self.conv_shortcut is not None:
            x = self.conv_shortcut(x)
        return x + h if self.scale == 1 else (x + h) / self.scale


class Attention(nn.Module):
    """Self-attention over the pixels. Head widths that do not divide the channels leave some of them unused."""

    def __init__(self, channels, cfg, groups, scale=1):
        super().__init__()
        self.head_dim = cfg["attention_head_dim"] or channels
        self.heads = channels // self.head_dim
        inner = self.heads * self.head_dim
        self.scale = scale
        self.group_norm = nn.GroupNorm(groups, channels, cfg["norm_eps"]) if groups else None
        self.to_q = nn.Linear(channels, inner)
        self.to_k = nn.Linear(channels, inner)
        self.to_v = nn.Linear(channels, inner)
        self.to_out = nn.ModuleList([nn.Linear(inner, channels)])

    def forward(self, x):
        n, _, height, width = x.shape
        h = (x if self.group_norm is None else self.group_norm(x)).flatten(2).transpose(1, 2)
        q, k, v = [linear(h).view(n, height * width, self.heads, self.head_dim).transpose(1, 2)
                   for linear in (self.to_q, self.to_k, self.to_v)]
        weights = torch.softmax(q @ k.transpose(-1, -2) * self.head_dim ** -0.5, -1)
        h = self.to_out[0]((weights @ v).transpose(1, 2).flatten(2))
        h = x + h.transpose(1, 2).reshape(x.shape)
        return h if self.scale == 1 else h / self.scale


class Block(nn.Module):
    """A down or up block: ResNets from the given input widths to `c_out`, each followed by attention if asked for.
    An input width is what comes from below, in the up path with the skip connection's beside it."""

    KINDS = ("DownBlock2D", "AttnDownBlock2D", "ResnetDownsampleBlock2D",
             "UpBlock2D", "AttnUpBlock2D", "ResnetUpsampleBlock2D")

    def __init__(self, kind, c_ins, c_out, dim, cfg, resample):
        super().__init__()
        up = "Up" in kind
        if kind not in self.KINDS:
            raise ValueError(f"block type {kind} is not supported")
        attention = kind.startswith("Attn")
        c_ins = [sum(c) for c in c_ins]
        self.resnets = nn.ModuleList([ResnetBlock(c, c_out, dim, cfg) for c in c_ins])
        self.attentions = nn.ModuleList([Attention(c_out, cfg, cfg["norm_num_groups"]) for _ in c_ins if attention])
        # "resnet" resampling reaches the attention blocks only; the others have what their name says.
        by_resnet = (cfg["upsample_type" if up else "downsample_type"] == "resnet" if attention
                     else kind.startswith("Resnet"))
        samplers = nn.ModuleList()
        if resample and by_resnet:
            samplers.append(ResnetBlock(c_out, c_out, dim, cfg, resample="up" if up else "down"))
        elif resample:
            samplers.append(Resample(c_out, up, 1 if up else cfg["downsample_padding"]))
        self.add_module("upsamplers" if up else "downsamplers", samplers)

    def down(self, x, emb, image):
        """What is pushed on the skip stack, the last of it being the result, and the image beside the path."""
        kept = []
        for j in range(len(self.resnets)):
            x = self.layer(j, x, emb)
            kept.append(x)
        for sampler in self.downsamplers:
            x = self.resampled(sampler, x, emb)
            kept.append(x)
        return kept, image

    def up(self, x, emb, stack, image):
        for j in range(len(self.resnets)):
            x = self.layer(j, torch.cat([x, stack.pop()], 1), emb)
        for sampler in self.upsamplers:
            x = self.resampled(sampler, x, emb)
        return x, image

    def layer(self, j, x, emb):
        x = self.resnets[j](x, emb)
        return self.attentions[j](x) if len(self.attentions) else x

    @staticmethod
    def resampled(sampler, x, emb):
        return sampler(x, emb) if isinstance(sampler, ResnetBlock) else sampler(x)


class SkipBlock(nn.Module):
    """A block of NCSN++: sums over sqrt(2), resampling through the filter, and the image beside the path, which the way
    down halves and reads and the way up makes and doubles."""

    KINDS = ("SkipDownBlock2D", "AttnSkipDownBlock2D", "SkipUpBlock2D", "AttnSkipUpBlock2D")

    def __init__(self, kind, c_ins, c_out, dim, cfg, resample):
        super().__init__()
        up, attention, scale, own = "Up" in kind, kind.startswith("Attn"), math.sqrt(2), groups_of(c_out)
        self.resnets = nn.ModuleList()
        for c in c_ins:
            # The published attention block counts the groups of the way up with the division on one part alone.
            first = min(c[0] + c[1] // 4, 32) if up and attention else groups_of(sum(c))
            self.resnets.append(ResnetBlock(sum(c), c_out, dim, cfg, scale, groups=(first, own)))
        # Of 32 groups always; on the way up once, after all ResNets.
        self.attentions = nn.ModuleList([Attention(c_out, cfg, 32, scale)
                                         for _ in (c_ins[:1] if up else c_ins) if attention])
        self.skip_conv = None
        if resample:
            resnet = ResnetBlock(c_out, c_out, dim, cfg, scale, "fir up" if up else "fir down", (own, own), True)
            self.add_module("resnet_up" if up else "resnet_down", resnet)
            self.skip_conv = nn.Conv2d(c_out, 3, 3, padding=1) if up else nn.Conv2d(3, c_out, 1)
            if up:
                self.skip_norm = nn.GroupNorm(own, c_out, cfg["norm_eps"])

    def down(self, x, emb, image):
        kept = []
        for j, resnet in enumerate(self.resnets):
            x = resnet(x, emb)
            if len(self.attentions):
                x = self.attentions[j](x)
            kept.append(x)
        if self.skip_conv is not None:
            image = fir(image, False)
            kept.append(self.skip_conv(image) + self.resnet_down(x, emb))
        return kept, image

    def up(self, x, emb, stack, image):
        for resnet in self.resnets:
            x = resnet(torch.cat([x, stack.pop()], 1), emb)
        for attention in self.attentions:
            x = attention(x)
        image = 0 if image is None else fir(image, True)
        if self.skip_conv is not None:
            image = image + self.skip_conv(F.silu(self.skip_norm(x)))
            x = self.resnet_up(x, emb)
        return x, image


def make_block(kind, *arguments):
    kind = kind[7:] if kind.startswith("UNetRes") else kind
    return (SkipBlock if kind in SkipBlock.KINDS else Block)(kind, *arguments)


class MidBlock(nn.Module):
    def __init__(self, channels, dim, cfg):
        super().__init__()
        scale, groups = cfg["mid_block_scale_factor"], cfg["attn_norm_num_groups"]
        if groups is None and cfg["resnet_time_scale_shift"] == "default":
            groups = cfg["norm_num_groups"] or groups_of(channels)  # with scale_shift the attention has no norm at all
        self.resnets = nn.ModuleList([ResnetBlock(channels, channels, dim, cfg, scale) for _ in range(2)])
        # The scale factor divides the attention's sum too, not only those of the ResNets.
        self.attentions = nn.ModuleList([Attention(channels, cfg, groups, scale)] if cfg["add_attention"] else [])

    def forward(self, x, emb):
        x = self.resnets[0](x, emb)
        for attention in self.attentions:
            x = attention(x)
        return self.resnets[1](x, emb)


class UNet2DModel(nn.Module):
    def __init__(self, **config):
        super().__init__()
        self.cfg = cfg = complete_config(config)
        widths, layers = cfg["block_out_channels"], cfg["layers_per_block"]
        first, levels = widths[0], len(widths)
        if not levels == len(cfg["down_block_types"]) == len(cfg["up_block_types"]):
            raise ValueError("block_out_channels, down_block_types and up_block_types differ in length")
        dim = cfg["time_embedding_dim"] or 4 * first
        self.conv_in = nn.Conv2d(cfg["in_channels"], first, 3, padding=1)

        time_width, kind = first, cfg["time_embedding_type"]
        if kind == "fourier":
            self.time_proj, time_width = FourierProjection(first), 2 * first
        elif kind == "learned":
            self.time_proj = nn.Embedding(cfg["num_train_timesteps"], first)
        elif kind == "positional":
            self.time_proj = lambda t: sinusoid(t, first, cfg["freq_shift"], cfg["flip_sin_to_cos"])
        else:
            raise ValueError(f"time_embedding_type {kind} is not supported")
        self.time_embedding = TimestepEmbedding(time_width, dim)

        self.class_embedding = None
        if cfg["class_embed_type"] == "timestep":
            self.class_embedding = TimestepEmbedding(time_width, dim)
        elif cfg["class_embed_type"] == "identity":
            self.class_embedding = nn.Identity()
        elif cfg["class_embed_type"] is None and cfg["num_class_embeds"] is not None:
            self.class_embedding = nn.Embedding(cfg["num_class_embeds"], dim)

        self.down_blocks, self.up_blocks = nn.ModuleList(), nn.ModuleList()
        c, skips = first, [first]  # channels of the current tensor and of every tensor on the skip stack
        for i, (block_type, width) in enumerate(zip(cfg["down_block_types"], widths)):
            last = i == levels - 1
            c_ins = [(c,)] + [(width,)] * (layers - 1)
            self.down_blocks.append(make_block(block_type, c_ins, width, dim, cfg, not last))
            skips += [width] * (layers if last else layers + 1)
            c = width
        self.mid_block = MidBlock(c, dim, cfg) if cfg["mid_block_type"] is not None else None
        for i, (block_type, width) in enumerate(zip(cfg["up_block_types"], reversed(widths))):
            c_ins = []
            for _ in range(layers + 1):
                c_ins.append((c, skips.pop()))
                c = width
            self.up_blocks.append(make_block(block_type, c_ins, width, dim, cfg, i < levels - 1))
        self.conv_norm_out = nn.GroupNorm(cfg["norm_num_groups"] or groups_of(first), first, cfg["norm_eps"])
        self.conv_out = nn.Conv2d(first, cfg["out_channels"], 3, padding=1)
        self.act = ACTIVATIONS[cfg["act_fn"]]()

    def embed(self, t, class_labels):
        """The time and class embedding (N, dim)."""
        dtype = self.conv_in.weight.dtype
        emb = self.time_embedding(self.time_proj(t).to(dtype))
        if self.class_embedding is None:
            if class_labels is not None:
                raise ValueError("class_labels given to a network without a class embedding")
            return emb
        if class_labels is None:
            raise ValueError("class_labels are missing")
        kind = self.cfg["class_embed_type"]
        if kind == "timestep":
            class_labels = self.time_proj(class_labels)
        return emb + self.class_embedding(class_labels if kind is None else class_labels.to(dtype))

    def forward(self, x, t, class_labels=None):
        """x (N, C, H, W), t (N,), class_labels (N,), or (N, dim) for class_embed_type "identity"."""
        if self.cfg["center_input_sample"]:
            x = 2 * x - 1
        emb = self.act(self.embed(t, class_labels))  # every ResNet starts with this activation: done once
        h = self.conv_in(x)
        stack, image = [h], x
        for block in self.down_blocks:
            kept, image = block.down(h, emb, image)
            stack += kept
            h = kept[-1]
        if self.mid_block is not None:
            h = self.mid_block(h, emb)
        image = None
        for block in self.up_blocks:
            h, image = block.up(h, emb, stack, image)
        h = self.conv_out(F.silu(self.conv_norm_out(h)))
        if image is not None:
            h = h + image
        if self.cfg["time_embedding_type"] == "fourier":
            h = h / t.to(h.dtype).reshape(-1, 1, 1, 1)
        return h


def demo_config():
    """The demo's network: 28x28 grey images, three levels, attention at 7x7 and in the middle; 1.1 M parameters."""
    return complete_config(dict(
        sample_size=28, in_channels=1, out_channels=1, block_out_channels=[32, 64, 64], layers_per_block=1,
        down_block_types=["DownBlock2D", "DownBlock2D", "AttnDownBlock2D"],
        up_block_types=["AttnUpBlock2D", "UpBlock2D", "UpBlock2D"], norm_num_groups=8, attention_head_dim=None))


def save_model(folder, model):
    """Writes config.json and the weights (fp32) into `folder`, as diffusers does."""
    os.makedirs(folder, exist_ok=True)
    config = dict(model.cfg, _class_name="UNet2DModel", _diffusers_version="0.40.0")
    with open(os.path.join(folder, "config.json"), "w") as file:
        file.write(json.dumps(config, indent=2, sort_keys=True) + "\n")
    weights = {name: tensor.float() for name, tensor in model.state_dict().items()}
    safetensors_io.save(os.path.join(folder, "diffusion_pytorch_model.safetensors"), weights)


def load_model(folder):
    """Reads what save_model or diffusers wrote."""
    with open(os.path.join(folder, "config.json")) as file:
        model = UNet2DModel(**json.load(file))
    model.load_state_dict(safetensors_io.load(os.path.join(folder, "diffusion_pytorch_model.safetensors")))
    return model
