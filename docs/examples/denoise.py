# SPDX-License-Identifier: Apache-2.0
"""libito from Python, with numpy alone: a sampler of one's own on ito's denoiser, held against ito's. Usage:
denoise.py MODEL, the path of a model without classes."""
import sys

import ito
import numpy as np


def heun(model, x, sigmas):
    """dx / dsigma = (x - D(x; sigma)) / sigma by Heun's rule (Karras et al. 2022, algorithm 1)."""
    for now, then in zip(sigmas[:-1], sigmas[1:]):
        slope = (x - model.denoise(x, now)) / now
        ahead = x + (then - now) * slope
        if then > 0:
            slope = (slope + (ahead - model.denoise(ahead, then)) / then) / 2
        x = x + (then - now) * slope
    return x


model = ito.Model(sys.argv[1])
print(f"{sys.argv[1]} on {model.device}: {model.shape}, noise to signal {model.sigmas[0]:.4f} to {model.sigmas[-1]:.1f}")
start = model.sigmas[-1] * np.random.default_rng(1).standard_normal((16, *model.shape)).astype(np.float32)
own = heun(model, start, np.append(np.geomspace(model.sigmas[-1], model.sigmas[0], 20), 0))
itos = model.sample(16, seed=1, sampler="heun", steps=20)
print(f"mean |x| of 16 images: {np.abs(own).mean():.3f} by this sampler, {np.abs(itos).mean():.3f} by ito's")

x0, gradient = model.denoise_vjp(own[:2], 0.5, np.ones_like(own[:2]))  # of the sum of the estimate's numbers
print(f"an estimate {x0.shape}, its derivative {gradient.shape}")
print("ln p of two images:", np.round(model.log_likelihood(own[:2], rtol=1e-3, atol=1e-3), 1))
try:
    model.sample(1, sampler="no such")
except ito.Refused as error:
    print("refused:", error)
