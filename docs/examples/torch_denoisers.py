# SPDX-License-Identifier: Apache-2.0
"""ito's models as the priors of PyTorch's libraries of inverse problems: a denoiser with a derivative, which deepinv
takes as it is, and one of azula's around it. Usage: torch_denoisers.py MODEL [azula|deepinv], whichever is installed."""
import sys

import ito
import numpy as np
import torch


class Estimate(torch.autograd.Function):
    """E[x0 | x] of x = x0 + sigma eps; its derivative by x is ito's, by sigma none."""

    @staticmethod
    def forward(ctx, x, sigma, model, labels):
        ctx.model, ctx.labels = model, labels
        ctx.save_for_backward(x, sigma)
        return torch.from_dlpack(model.denoise(x.cpu(), sigma, labels)).to(x)

    @staticmethod
    def backward(ctx, v):
        x, sigma = ctx.saved_tensors
        _, gradient = ctx.model.denoise_vjp(x.cpu(), sigma, v.cpu(), ctx.labels)
        return torch.from_dlpack(gradient).to(x), None, None, None


class Denoiser(torch.nn.Module):
    """forward(x, sigma): what deepinv calls a denoiser, of images in [0, 1], where ito's are in [-1, 1]."""

    def __init__(self, model, labels=None):
        super().__init__()
        self.model, self.labels = model, labels

    def forward(self, x, sigma, **_):
        sigma = torch.as_tensor(sigma, dtype=torch.float64).reshape(-1).cpu().expand(len(x)).contiguous()
        return (Estimate.apply(2 * x - 1, 2 * sigma, self.model, self.labels) + 1) / 2


def azula_denoiser(model, labels=None):
    """Of azula: q(X | X_t) of a schedule's alpha_t and sigma_t, whose mean is ito's estimate."""
    from azula.denoise import Denoiser as AzulaDenoiser, DiracPosterior
    from azula.noise import VPSchedule

    class Ito(AzulaDenoiser):
        def __init__(self, schedule):
            super().__init__()
            self.schedule = schedule

        def forward(self, x_t, t, **_):
            alpha, sigma = self.schedule(t)
            ratio = (sigma / alpha).double().reshape(-1).expand(len(x_t)).contiguous()
            return DiracPosterior(mean=Estimate.apply(x_t / alpha, ratio, model, labels))

    return Ito(VPSchedule())


def with_deepinv(model):
    import deepinv

    truth = (torch.from_dlpack(model.sample(2, seed=1)) + 1) / 2
    physics = deepinv.physics.Inpainting(truth.shape[1:], mask=0.5, noise_model=deepinv.physics.GaussianNoise(0.02))
    y = physics(truth)
    restore = deepinv.sampling.DDRM(Denoiser(model), sigmas=np.geomspace(10, 0.05, 60), eta=0.85)
    return truth, y, restore(y, physics)


def with_azula(model):
    from azula.sample import DDIMSampler

    sampler = DDIMSampler(azula_denoiser(model), steps=64)
    return sampler(sampler.init((64, *model.shape)))


if __name__ == "__main__":
    opened = ito.Model(sys.argv[1])
    if sys.argv[2] == "azula":
        images = with_azula(opened)
        itos = opened.sample(64, sampler="ddim", steps=64)
        print(f"mean |x| by azula's DDIM: {images.abs().mean():.3f}, by ito's: {np.abs(itos).mean():.3f}")
    else:
        truth, y, restored = with_deepinv(opened)
        print(f"deepinv's DDRM: mean error {(restored - truth).abs().mean():.3f}, measured {(y - truth).abs().mean():.3f}")
