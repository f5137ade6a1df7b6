# SPDX-License-Identifier: Apache-2.0
"""Seeds of the parsers of configurations: networks and noise schedules."""
import json

from corpus_file import write

UNET = {
    "_class_name": "UNet2DModel", "_diffusers_version": "0.30.0", "sample_size": 32, "in_channels": 1,
    "out_channels": 1, "center_input_sample": False, "time_embedding_type": "positional", "freq_shift": 0,
    "flip_sin_to_cos": True, "down_block_types": ["DownBlock2D", "AttnDownBlock2D"], "mid_block_type": "UNetMidBlock2D",
    "up_block_types": ["AttnUpBlock2D", "UpBlock2D"], "block_out_channels": [32, 64], "layers_per_block": 1,
    "downsample_padding": 1, "dropout": 0.0, "act_fn": "silu", "attention_head_dim": 8, "norm_num_groups": 8,
    "norm_eps": 1e-5, "resnet_time_scale_shift": "default", "add_attention": True, "class_embed_type": None,
    "num_class_embeds": 10}


def unet_seeds():
    def put(name, **changes):
        write("unet_config", name, json.dumps({**UNET, **changes}))
    put("ok-small")
    put("ok-other", sample_size=[16, 24], attention_head_dim=None, time_embedding_type="fourier", freq_shift=0.5,
        class_embed_type="timestep", mid_block_type=None, _diffusers_version="0.8.0", downsample_type="resnet")
    put("ok-learned", time_embedding_type="learned", num_train_timesteps=1000)
    put("ok-skips", in_channels=3, out_channels=3, norm_num_groups=None, up_block_types=["SkipUpBlock2D"] * 2,
        down_block_types=["UNetResSkipDownBlock2D", "AttnSkipDownBlock2D"])
    write("unet_config", "ok-defaults", "{}")
    put("ok-unknown-keys", **{"new\nkey": 1, "k\u009b" + "y" * 2000: 2})
    put("bad-name", act_fn="re\nlu\u001b[2J")
    put("bad-long-name", time_embedding_type="x" * 3000)
    put("bad-levels", block_out_channels=[32])
    put("bad-wrapped", sample_size=4294967297)
    put("bad-fraction", sample_size=[1.5, 2])
    put("bad-huge-fraction", sample_size=[1e300, 2])
    put("bad-channels-huge", block_out_channels=[1e300, 4294967298])
    put("bad-channels-wrapped", block_out_channels=[4294967298, 32])
    put("bad-freq-shift", time_embedding_type="fourier", freq_shift=-1e300)
    put("bad-list", layers_per_block=[["x" * 200] * 50])
    put("bad-bool", norm_eps=True)
    write("unet_config", "bad-kind", "[]")


def dit_seeds():
    def put(name, **changes):
        write("dit_config", name, json.dumps({"_class_name": "DiTTransformer2DModel", "num_layers": 1, **changes}))
    put("ok-small", out_channels=8, sample_size=8, dropout=0.1, activation_fn="gelu", norm_elementwise_affine=True)
    write("dit_config", "ok-defaults", "{}")
    put("ok-unknown-keys", **{"new\nkey": 1, "k\u009b" + "y" * 2000: 2})
    put("bad-name", norm_type="re\nlu\u001b[2J")
    put("bad-activation", activation_fn="x" * 3000)
    put("bad-patch", patch_size=3)
    put("bad-width", num_attention_heads=1, attention_head_dim=7)
    put("bad-wrapped", sample_size=4294967297)
    put("bad-classes", num_embeds_ada_norm=None)
    write("dit_config", "bad-kind", "[]")


def autoencoder_seeds():
    def put(name, **changes):
        write("autoencoder_config", name, json.dumps({"_class_name": "AutoencoderKL", **changes}))
    put("ok-published", block_out_channels=[128, 256, 512, 512], up_block_types=["UpDecoderBlock2D"] * 4,
        layers_per_block=2, scaling_factor=0.18215, latents_mean=None, force_upcast=True)
    put("ok-defaults", **{"new\nkey": 1})
    put("bad-groups", norm_num_groups=7)
    put("bad-levels", block_out_channels=[64] * 40)
    put("bad-block", up_block_types=["Up\u001b[2J"])
    put("bad-wrapped", latent_channels=4294967297)
    write("autoencoder_config", "bad-class", '{"_class_name": "VQ\\n"}')
    write("autoencoder_config", "ok-latents", '{"scale": [1, 2, 0.5, 3], "shift": [0, -1, 0, 2]}')
    write("autoencoder_config", "bad-latents", '{"scale": [0, 1e39, 1, 1], "shift": []}')


def jit_seeds():
    def put(name, **changes):
        write("jit_config", name, json.dumps({"_class_name": "JiTTransformer2DModel", "num_layers": 6, **changes}))
    put("ok-small", sample_size=[8, 16], patch_size=4, in_channels=1, num_classes=None, dropout=0.1, noise_scale=2)
    write("jit_config", "ok-defaults", "{}")
    put("ok-no-context", context_length=0, context_start=40)
    put("ok-unknown-keys", **{"new\nkey": 1, "k\u009b" + "y" * 2000: 2})
    put("bad-patch", patch_size=3)
    put("bad-start", context_start=6)
    put("bad-head", attention_head_dim=6)
    put("bad-ratio", mlp_ratio=1e300)
    put("bad-no-ratio", mlp_ratio=1e-300)
    put("bad-wrapped", sample_size=4294967297)
    put("bad-noise", noise_scale=0)
    put("bad-classes", num_classes="ten\u001b[2J")
    write("jit_config", "bad-kind", "[]")


MIXTURE = {"_class_name": "GaussianMixture", "shape": [2, 1, 1], "weights": [1, 3], "means": [[-1, 0.5], [0.6, -0.3]],
           "variances": [0.05, 0.1]}
TOY = {"_class_name": "ToyNetwork", "name": "B", "shape": [3, 8, 8]}


def exact_seeds():
    def mixture(seed, **changes):
        write("mixture_config", seed, json.dumps({**MIXTURE, **changes}))

    def toy(seed, **changes):
        write("toy_config", seed, json.dumps({**TOY, **changes}))
    mixture("ok-small")
    mixture("ok-coordinates", variances=[[0.05, 1], [0.1]])
    mixture("ok-unknown-keys", **{"new\nkey": 1})
    mixture("ok-extremes", weights=[1e-300, 1e300], means=[[1e6, -1e6], [0, -0.0]], variances=[1e-12, 1e12])
    mixture("bad-shape", shape=[2, 1])
    mixture("bad-shape-huge", shape=[16384, 16384, 16384])
    mixture("bad-shape-wrapped", shape=[4294967298, 1, 1])
    mixture("bad-weights", weights=[1, 0])
    mixture("bad-weights-huge", weights=[1e308, 1e308])
    mixture("bad-means", means=[[-1, 0.5], [0.6]])
    mixture("bad-means-kind", means=[[-1, 0.5], ["x" * 3000]])
    mixture("bad-variances", variances=[0.05, -1])
    mixture("bad-variances-mixed", variances=[[0.05, 1], 0.1])
    mixture("ok-classes", classes=[1, 0])
    mixture("bad-classes", classes=[1, 1])
    mixture("bad-classes-huge", classes=[4294967296, 0])
    mixture("bad-missing", **{"weights": None})
    write("mixture_config", "bad-kind", "[]")
    toy("ok-small")
    toy("ok-unknown-keys", **{"k\u009b" + "y" * 2000: 2})
    toy("bad-name", name="re\nlu\u001b[2J")
    toy("bad-shape", shape=[3, 8])
    toy("bad-extent", shape=[3, 0, 8])
    write("toy_config", "bad-missing", "{}")


def scheduler_seeds():
    def put(name, **changes):
        write("scheduler_config", name, json.dumps(changes))
    put("ok-defaults")
    put("ok-ddpm", _class_name="DDPMScheduler", _diffusers_version="0.40.0", num_train_timesteps=1000,
        beta_start=0.0001, beta_end=0.02, beta_schedule="squaredcos_cap_v2", trained_betas=None,
        variance_type="fixed_large", clip_sample=True, prediction_type="v_prediction", thresholding=False,
        dynamic_thresholding_ratio=0.995, clip_sample_range=1.0, sample_max_value=1.0, timestep_spacing="trailing",
        steps_offset=0, rescale_betas_zero_snr=True)
    put("ok-ddim", _class_name="DDIMScheduler", set_alpha_to_one=False, num_train_timesteps=3,
        trained_betas=[0.1, 0.2, 0.3], new_key=1)
    put("ok-unknown-keys", **{"new\nkey": 1, "k\u009b" + "y" * 2000: 2})
    put("bad-name", beta_schedule="lin\near\u001b[2J")
    put("bad-long-name", prediction_type="x" * 3000)
    put("bad-delete", clip_sample="\x7f")
    put("bad-steps", num_train_timesteps=1 << 40)
    put("bad-betas", num_train_timesteps=2, trained_betas=[0.5, 2])
    put("bad-beta", beta_start=-1)
    put("bad-kind", clip_sample=1)
    write("scheduler_config", "bad-array", "[]")


ALL = (unet_seeds, dit_seeds, autoencoder_seeds, jit_seeds, exact_seeds, scheduler_seeds)
