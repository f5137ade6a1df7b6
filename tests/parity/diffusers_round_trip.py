#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Round trips between ito and diffusers: models either wrote are read by the other and compute the same.

  diffusers_round_trip.py --ito BUILD/ito-cpu --out FOLDER [--count 12] [--seed 1]

1. A model that ito trained opens as DDPMPipeline and DDIMPipeline, and its unet predicts what `ito predict` does.
2. Random configurations that diffusers saved: `ito predict` agrees, and what `ito convert` makes of them has the same
   configuration and the same bits of weights in diffusers.
3. Sampling: `ito sample` from given x_T against diffusers' scheduler loop. DDPM and stochastic DDIM are given the noise
   that ito draws, which is computed here from its definition (Philox4x32-10 and Box-Muller).

4. Seeds: `ito sample --noise torch-cpu` from a network in closed form against the loop that draws from a generator of
   PyTorch's with that seed, under the scheduler that diffusers saved.

5. NCSN++: the predictor-corrector of the variance-exploding SDE through a small network of skip blocks.

Where diffusers is missing, the PyTorch network of unet_reference.py takes its place in 1 and 2, and the rest is left
out.
Exit status: 0 all agree, 77 all agree but diffusers was missing, anything else a failure.
"""
import argparse
import inspect
import json
import os
import shutil
import subprocess
import sys

import numpy
import torch

import make_cases
import safetensors_io
import unet_reference

STOOD_IN = 77
# Both sides compute in fp32 and sum in different orders: some thirty layers of rounding at 6e-8 come to 1.5e-6 of the
# largest output at most in what was measured. A timestep off by one is 2e-2, a norm_eps of 1.1e-3 for 1e-3 2e-4.
PREDICTION_TOLERANCE = 2e-5
# A reverse loop feeds its own rounding back through the network at every step: 4e-5 at most in what was measured.
SAMPLE_TOLERANCE = 1e-4


class Mismatch(Exception):
    pass


def check(condition, message):
    if not condition:
        raise Mismatch(message)


def baddbmm(added, left, right, *, beta=1, alpha=1, plain=torch.baddbmm):
    """torch.baddbmm that leaves `added` alone where beta is 0. diffusers hands it uninitialised memory then, which torch
    1.13 multiplies by 0 all the same for small matrices, so that a NaN left in that memory came through."""
    return alpha * torch.bmm(left, right) if beta == 0 else plain(added, left, right, beta=beta, alpha=alpha)


torch.baddbmm = baddbmm


class Diffusers:
    """Models by the diffusers library."""
    name = "diffusers"

    def __init__(self):
        import diffusers
        import safetensors.torch  # diffusers uses it without importing it
        self.library = diffusers
        self.version = diffusers.__version__
        self.keys = set(inspect.signature(diffusers.UNet2DModel.__init__).parameters) - {"self"}
        diffusers.utils.logging.set_verbosity_error()  # keys of later versions are ignored, as they should be
        diffusers.utils.logging.disable_progress_bar()

    def build(self, config):
        return self.library.UNet2DModel(**config)

    def save(self, folder, unet, scheduler):
        scheduler = getattr(self.library, scheduler.pop("_class_name"))(**scheduler)
        pipeline = self.library.DDPMPipeline if "DDPM" in type(scheduler).__name__ else self.library.DDIMPipeline
        pipeline(unet, scheduler).save_pretrained(folder)

    def load(self, folder):
        return self.library.UNet2DModel.from_pretrained(folder, subfolder="unet").eval()

    def config(self, unet):
        return {key: unet.config[key] for key in self.keys}

    def predict(self, unet, inputs):
        with torch.no_grad():
            return unet(inputs["sample"], inputs["timestep"], inputs.get("class_labels")).sample


class StandIn:
    """Models by unet_reference.py, where diffusers is missing."""
    name = "unet_reference.py"
    version = "in place of diffusers"
    keys = set(unet_reference.DEFAULTS)

    def build(self, config):
        return unet_reference.UNet2DModel(**config)

    def save(self, folder, unet, scheduler):
        unet_reference.save_model(os.path.join(folder, "unet"), unet)
        os.makedirs(os.path.join(folder, "scheduler"))
        with open(os.path.join(folder, "scheduler", "scheduler_config.json"), "w") as file:
            json.dump(scheduler, file)

    def load(self, folder):
        return unet_reference.load_model(os.path.join(folder, "unet")).eval()

    def config(self, unet):
        return unet.cfg

    def predict(self, unet, inputs):
        with torch.no_grad():
            return unet(inputs["sample"], inputs["timestep"], inputs.get("class_labels"))


class Ito:
    def __init__(self, program, scratch):
        self.program, self.scratch = program, scratch

    def run(self, *arguments):
        done = subprocess.run([self.program, *map(str, arguments)], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True)
        check(done.returncode == 0, f"ito {' '.join(map(str, arguments))}: exit {done.returncode}: {done.stderr}")

    def predict(self, model, inputs):
        source, result = (os.path.join(self.scratch, name) for name in ("in.safetensors", "out.safetensors"))
        safetensors_io.save(source, inputs)
        self.run("predict", "--checkpoint", model, "--input", source, "--output", result)
        return safetensors_io.load(result)["prediction"]

    def sample(self, model, noise, *arguments):
        source, folder = os.path.join(self.scratch, "noise.safetensors"), os.path.join(self.scratch, "drawn")
        safetensors_io.save(source, {"noise": noise})
        self.run("sample", "--checkpoint", model, "--out", folder, "--initial-noise", source, "--count", len(noise),
                 *arguments)
        return safetensors_io.load(os.path.join(folder, "samples.safetensors"))["samples"]


def compare(what, ours, theirs, tolerance):
    """The largest difference in units of the largest value, which must be below `tolerance`."""
    check(ours.shape == theirs.shape, f"{what}: shape {tuple(ours.shape)}, expected {tuple(theirs.shape)}")
    check(theirs.isfinite().all(), f"{what}: the reference is not finite")
    error = ((ours - theirs).abs().max() / theirs.abs().max()).item()
    check(error <= tolerance, f"{what}: differs by {error:.2e} of the largest value; expected at most {tolerance:.0e}")
    return error


def randomise(unet, seed):
    """Moves norms and biases off their trivial initial values."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, parameter in unet.named_parameters():
            if "norm" in name or name.endswith("bias"):
                parameter += 0.3 * torch.randn(parameter.shape, generator=generator)
    return unet.eval()


TINY = dict(sample_size=16, in_channels=3, out_channels=3, block_out_channels=[16, 32], layers_per_block=1,
            down_block_types=["DownBlock2D", "AttnDownBlock2D"], up_block_types=["AttnUpBlock2D", "UpBlock2D"],
            norm_num_groups=8, freq_shift=1, flip_sin_to_cos=False, downsample_padding=0, attention_head_dim=None,
            norm_eps=1e-6)


def trained_model(ito, oracle, folder):
    """ito trains; diffusers reads."""
    os.makedirs(folder)
    data, config, out = (os.path.join(folder, name) for name in ("data.safetensors", "config.json", "run"))
    torch.manual_seed(5)
    safetensors_io.save(data, {"samples": torch.rand(16, 3, 16, 16) * 2 - 1})
    with open(config, "w") as file:
        json.dump(TINY, file)
    ito.run("train", "--data", data, "--model", config, "--out", out, "--steps", 4, "--batch", 4, "--lr", 1e-2,
            "--warmup", 0, "--prediction-type", "v_prediction", "--beta-schedule", "squaredcos_cap_v2")
    with open(os.path.join(out, "latest")) as file:
        checkpoint = os.path.join(out, file.read().strip())
    inputs = {"sample": torch.randn(3, 3, 16, 16), "timestep": torch.tensor([0, 431, 999])}
    ours = ito.predict(out, inputs)
    if oracle.name != "diffusers":
        error = compare("trained model", ours, oracle.predict(oracle.load(checkpoint), inputs), PREDICTION_TOLERANCE)
        print(f"trained model in {oracle.name}: {error:.1e}")
        return
    for pipeline_class in (oracle.library.DDPMPipeline, oracle.library.DDIMPipeline):
        name = pipeline_class.__name__
        pipeline = pipeline_class.from_pretrained(checkpoint)
        pipeline.set_progress_bar_config(disable=True)
        error = compare(name, ours, oracle.predict(pipeline.unet, inputs), PREDICTION_TOLERANCE)
        for key, value in TINY.items():
            found = pipeline.unet.config[key]
            check(found == value or key == "sample_size" and list(found) == [value, value],
                  f"{name}: unet {key} is {found}, expected {value}")
        kind = type(pipeline.scheduler).__name__
        check(kind == name.replace("Pipeline", "Scheduler"), f"{name}: made a {kind}")
        for key, value in dict(prediction_type="v_prediction", beta_schedule="squaredcos_cap_v2",
                               num_train_timesteps=1000, clip_sample=True).items():
            found = pipeline.scheduler.config[key]
            check(found == value, f"{name}: scheduler {key} is {found}, expected {value}")
        images = torch.from_numpy(pipeline(batch_size=2, num_inference_steps=3, output_type="np").images)
        check(images.shape == (2, 16, 16, 3) and images.isfinite().all(), f"{name}: draws no images")
        print(f"trained model as {name}: {error:.1e}, draws images")


REQUIRED = set("""time_embedding_type=positional time_embedding_type=fourier time_embedding_type=learned freq_shift=1
flip_sin_to_cos=False norm_eps=1e-06 center_input_sample=True resnet_time_scale_shift=scale_shift classes=table
classes=timestep classes=identity levels=3 head=None head=8 head=16 padding=0 padding=1""".split()) | {
    "not square", "resnet down", "resnet up", "mid attention=False", "mid scale", "filter down", "filter up",
    "block=AttnSkipDownBlock2D", "block=AttnSkipUpBlock2D", "block=ResnetDownsampleBlock2D"}


def saved_models(ito, oracle, folder, count, seed):
    """diffusers writes random configurations; ito reads, computes and converts."""
    worst, compared = 0, 0
    for i, (config, pick) in enumerate(make_cases.draw(count, seed, REQUIRED)):
        config = {key: value for key, value in config.items() if key in oracle.keys}
        model, converted = (os.path.join(folder, f"case-{i:02d}", name) for name in ("saved", "converted"))
        torch.manual_seed(1000 * seed + i)
        unet = randomise(oracle.build(config), i)
        scheduler = {"_class_name": "DDIMScheduler" if i % 2 else "DDPMScheduler", "beta_end": 0.015 + 0.001 * i,
                     "num_train_timesteps": 1000, "prediction_type": ("epsilon", "sample", "v_prediction")[i % 3]}
        oracle.save(model, unet, dict(scheduler))
        inputs = make_cases.make_inputs(config, pick["batch"], *pick["size"])
        ours = ito.predict(model, inputs)
        what = f"saved model {i}, {json.dumps(config)}"
        error = compare(what, ours, oracle.predict(unet, inputs), PREDICTION_TOLERANCE)
        worst, compared = max(worst, error), compared + 1

        ito.run("convert", "--from", model, "--out", converted)
        again = oracle.load(converted)
        before, after = oracle.config(unet), oracle.config(again)
        for key in oracle.keys:
            same = before[key] == after[key] or key == "sample_size" and after[key] == [before[key]] * 2
            if isinstance(before[key], (list, tuple)):
                same = list(before[key]) == list(after[key])
            check(same, f"{what}: after ito convert {key} is {after[key]}, expected {before[key]}")
        weights = again.state_dict()
        check(set(weights) == set(unet.state_dict()), f"{what}: ito convert changed the tensors' names")
        for name, tensor in unet.state_dict().items():
            check(torch.equal(tensor, weights[name]), f"{what}: ito convert changed {name}")
        with open(os.path.join(converted, "scheduler", "scheduler_config.json")) as file:
            written = json.load(file)
        for key, value in scheduler.items():
            check(written[key] == value, f"{what}: after ito convert {key} is {written[key]}, expected {value}")
        check(torch.equal(ours, ito.predict(converted, inputs)), f"{what}: ito convert changed the prediction")
    check(compared >= 8, f"{compared} models compared; expected at least 8")
    print(f"{compared} models that {oracle.name} saved: worst {worst:.1e}; converted: same configuration and bits")


def philox(seed, counter):
    """Philox4x32-10: (..., 4) uint32 counters -> (..., 4) uint32."""
    c = [counter[..., i].astype(numpy.uint64) for i in range(4)]
    k = [numpy.uint64(seed & 0xFFFFFFFF), numpy.uint64(seed >> 32)]
    low, half = numpy.uint64(0xFFFFFFFF), numpy.uint64(32)
    for _ in range(10):
        a, b = numpy.uint64(0xD2511F53) * c[0], numpy.uint64(0xCD9E8D57) * c[2]
        c = [(b >> half) ^ c[1] ^ k[0], b & low, (a >> half) ^ c[3] ^ k[1], a & low]
        k = [(k[0] + numpy.uint64(0x9E3779B9)) & low, (k[1] + numpy.uint64(0xBB67AE85)) & low]
    return numpy.stack(c, -1)


def reverse_noise(seed, step, shape):
    """z of reverse step number `step` (from 0), (N, C, H, W): element e of image n is a word of the counter
    (e / 4, step, n, 8), e counted in H, W, C order."""
    n, channels, height, width = shape
    quads = -(-channels * height * width // 4)
    counter = numpy.zeros((n, quads, 4), numpy.uint32)
    counter[..., 0] = numpy.arange(quads)
    counter[..., 1] = step
    counter[..., 2] = numpy.arange(n)[:, None]
    counter[..., 3] = 8
    bits = (philox(seed, counter) >> numpy.uint64(8)).astype(numpy.float64)
    radius = numpy.sqrt(-2 * numpy.log((bits[..., 0::2] + 1) * 2.0 ** -24))
    angle = 2 * numpy.pi * bits[..., 1::2] * 2.0 ** -24
    z = numpy.stack([radius * numpy.cos(angle), radius * numpy.sin(angle)], -1).reshape(n, -1)
    z = z[:, :channels * height * width].reshape(n, height, width, channels).transpose(0, 3, 1, 2)
    return torch.from_numpy(numpy.ascontiguousarray(z)).float()


# (sampler, steps, eta, scheduler configuration)
LOOPS = [
    ("ddim", 10, 0, {}),
    ("ddim", 8, 0, dict(prediction_type="sample", timestep_spacing="trailing", rescale_betas_zero_snr=True,
                        num_train_timesteps=500)),
    ("ddim", 10, 0.7, dict(prediction_type="v_prediction", beta_schedule="scaled_linear", steps_offset=1,
                           set_alpha_to_one=False, clip_sample=False)),
    ("ddpm", 12, 0, {}),
    ("ddpm", 10, 0, dict(variance_type="fixed_large", prediction_type="v_prediction",
                         beta_schedule="squaredcos_cap_v2", timestep_spacing="trailing")),
    ("ddpm", 9, 0, dict(variance_type="learned_range", timestep_spacing="linspace", clip_sample_range=1.5)),
]


def diffusers_loop(oracle, unet, scheduler, steps, eta, x, seed):
    step_module = sys.modules[type(scheduler).__module__]
    scheduler.set_timesteps(steps)
    # DDPM goes to the next timestep of the grid. diffusers 0.31 does so for a grid given by hand and subtracts
    # floor(T / n) otherwise, which misses a linspace grid; its later versions always take the next.
    scheduler.custom_timesteps = True
    for i, t in enumerate(scheduler.timesteps):
        prediction = oracle.predict(unet, {"sample": x, "timestep": t.repeat(len(x))})
        z = reverse_noise(seed, i, x.shape)
        original = step_module.randn_tensor
        step_module.randn_tensor = lambda *arguments, **named: z  # the scheduler's own source of noise
        try:
            extra = {"eta": eta} if "eta" in inspect.signature(scheduler.step).parameters else {}
            x = scheduler.step(prediction, t, x, **extra).prev_sample
        finally:
            step_module.randn_tensor = original
    return x


def sampling(ito, oracle, folder, seed):
    """The whole reverse loop from the same x_T and noise."""
    for i, (sampler, steps, eta, options) in enumerate(LOOPS):
        learned = options.get("variance_type") == "learned_range"
        torch.manual_seed(100 + i)
        unet = randomise(oracle.build(dict(TINY, out_channels=6 if learned else 3)), i)
        model = os.path.join(folder, f"loop-{i}")
        oracle.save(model, unet, dict(options, _class_name="DDIMScheduler" if sampler == "ddim" else "DDPMScheduler"))
        noise = torch.randn(3, 3, 16, 16)
        arguments = ["--sampler", sampler, "--steps", steps, "--seed", seed] + (["--set", f"eta={eta}"] if eta else [])
        ours = ito.sample(model, noise, *arguments)
        pipeline_class = oracle.library.DDIMPipeline if sampler == "ddim" else oracle.library.DDPMPipeline
        scheduler = pipeline_class.from_pretrained(model).scheduler
        theirs = diffusers_loop(oracle, unet, scheduler, steps, eta, noise, seed)
        error = compare(f"{sampler} {options}", ours, theirs, SAMPLE_TOLERANCE)
        print(f"{sampler}, {steps} steps, eta {eta}, {options}: {error:.1e}")


SEEDED = [("DDPMScheduler", {}, {}), ("DDIMScheduler", {}, {"eta": 0.7}),
          ("EulerAncestralDiscreteScheduler", {"beta_start": 1e-4, "beta_end": 0.02}, {})]
SEEDED_SHAPE = (3, 3, 5, 7)  # 315 numbers: the generator has a rule of its own for what is no multiple of 16


def seeds(ito, oracle, folder, seed):
    """x_T and the noise of every step from one seed, on both sides."""
    os.makedirs(folder)
    network = os.path.join(folder, "network.json")
    with open(network, "w") as file:
        json.dump({"_class_name": "ToyNetwork", "name": "B", "shape": SEEDED_SHAPE[1:]}, file)
    for name, options, of_step in SEEDED:
        scheduler = getattr(oracle.library, name)(**options)
        scheduler.save_config(os.path.join(folder, name))
        scheduler.set_timesteps(20)
        generator = torch.Generator().manual_seed(seed)
        x = torch.randn(SEEDED_SHAPE, generator=generator) * scheduler.init_noise_sigma
        for timestep in scheduler.timesteps:
            seen, t = scheduler.scale_model_input(x, timestep), float(timestep)
            eps = seen * t / (t + 1) + 0.02 * torch.sin(3 * seen + 0.05 * t)
            x = scheduler.step(eps, timestep, x, generator=generator, **of_step).prev_sample
        drawn = os.path.join(folder, "drawn")
        settings = [word for key, value in of_step.items() for word in ("--set", f"{key}={value}")]
        ito.run("sample", "--checkpoint", network, "--scheduler", os.path.join(folder, name), "--out", drawn, "--raw",
                "--count", len(x), "--batch", 2, "--seed", seed, "--steps", 20, "--noise", "torch-cpu", *settings)
        ours = safetensors_io.load(os.path.join(drawn, "samples.safetensors"))["samples"]
        error = compare(f"{name} from a seed", ours, x, PREDICTION_TOLERANCE)
        print(f"{name} from a seed, {of_step}: {error:.1e}")


NCSNPP = dict(sample_size=16, block_out_channels=[32, 32, 64], layers_per_block=1, time_embedding_type="fourier",
              norm_eps=1e-6, norm_num_groups=None, mid_block_scale_factor=2 ** 0.5, attention_head_dim=None,
              down_block_types=["SkipDownBlock2D", "AttnSkipDownBlock2D", "SkipDownBlock2D"],
              up_block_types=["SkipUpBlock2D", "AttnSkipUpBlock2D", "SkipUpBlock2D"])


def variance_exploding(ito, oracle, folder, seed):
    """A small google/ncsnpp, flat as those repositories are, from a seed. One image: diffusers' corrector steps by the
    mean norm of its batch, ours by the image's own."""
    torch.manual_seed(seed & 0xFFFF)
    unet = randomise(oracle.build(NCSNPP), 3)
    scheduler = oracle.library.ScoreSdeVeScheduler(sigma_max=50.0)
    saved, flat = os.path.join(folder, "saved"), os.path.join(folder, "flat")
    oracle.library.ScoreSdeVePipeline(unet, scheduler).save_pretrained(saved)
    os.makedirs(flat)
    for name in ("model_index.json", "unet/config.json", "unet/diffusion_pytorch_model.safetensors",
                 "scheduler/scheduler_config.json"):
        shutil.copy(os.path.join(saved, name), flat)
    steps, generator = 8, torch.Generator().manual_seed(seed)
    x = torch.randn((1, 3, 16, 16), generator=generator) * scheduler.init_noise_sigma
    scheduler.set_timesteps(steps)
    scheduler.set_sigmas(steps)
    for t, sigma in zip(scheduler.timesteps, scheduler.sigmas):
        inputs = {"timestep": sigma[None]}
        for _ in range(scheduler.config.correct_steps):
            x = scheduler.step_correct(oracle.predict(unet, dict(inputs, sample=x)), x, generator=generator).prev_sample
        done = scheduler.step_pred(oracle.predict(unet, dict(inputs, sample=x)), t, x, generator=generator)
        x = done.prev_sample
    drawn = os.path.join(folder, "drawn")
    ito.run("sample", "--checkpoint", flat, "--out", drawn, "--raw", "--count", 1, "--seed", seed, "--steps", steps,
            "--noise", "torch-cpu")
    ours = safetensors_io.load(os.path.join(drawn, "samples.safetensors"))["samples"]
    error = compare("ScoreSdeVeScheduler from a seed", ours, done.prev_sample_mean, SAMPLE_TOLERANCE)
    print(f"ncsnpp, ScoreSdeVeScheduler from a seed: {error:.1e}")


def choose_oracle():
    try:
        return Diffusers()
    except Exception as problem:  # whatever keeps it from loading: the caller decides whether that is a failure
        print(f"diffusers does not load ({type(problem).__name__}: {problem}); unet_reference.py stands in for it")
        return StandIn()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--ito", required=True, help="the program to test")
    parser.add_argument("--out", required=True, help="scratch folder, emptied first")
    parser.add_argument("--count", type=int, default=12, help="random configurations")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    torch.set_num_threads(2)
    shutil.rmtree(options.out, ignore_errors=True)
    os.makedirs(options.out)
    oracle, ito = choose_oracle(), Ito(options.ito, options.out)
    print(f"{oracle.name} {oracle.version}, torch {torch.__version__}")
    try:
        trained_model(ito, oracle, os.path.join(options.out, "trained"))
        saved_models(ito, oracle, os.path.join(options.out, "saved"), options.count, options.seed)
        if oracle.name == "diffusers":
            sampling(ito, oracle, os.path.join(options.out, "sampling"), 12345678901 + options.seed)
            seeds(ito, oracle, os.path.join(options.out, "seeds"), 12345678901 + options.seed)
            variance_exploding(ito, oracle, os.path.join(options.out, "ve"), 12345678901 + options.seed)
    except Mismatch as problem:
        sys.exit(f"diffusers_round_trip.py: {problem}")
    sys.exit(0 if oracle.name == "diffusers" else STOOD_IN)


if __name__ == "__main__":
    main()
