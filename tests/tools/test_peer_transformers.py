#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""The transformers that PyTorch is raced with are those of the parity tests, in fp64: answers and all gradients. And both
peers take a configuration of each, train and sample."""
import json
import pathlib
import random
import re
import subprocess
import sys
import unittest
import unittest.mock

ROOT = pathlib.Path(__file__).resolve().parent.parent.parent
sys.path[:0] = [str(ROOT / "tools/bench"), str(ROOT / "tests/parity")]

try:
    import torch  # noqa: E402
except ImportError:
    print("this Python has no torch, in which the peers are written; install python3-torch", file=sys.stderr)
    sys.exit(77)

import peer_transformers  # noqa: E402
import transformer_reference  # noqa: E402
from make_transformer_cases import DIT, JIT, draw  # noqa: E402

# Ours by the reference's names.
DIT_NAMES = [(r"pos_embed\.proj", "embed"), (r"transformer_blocks", "blocks"),
             (r"norm1\.emb\.timestep_embedder\.linear_1", "time.0"),
             (r"norm1\.emb\.timestep_embedder\.linear_2", "time.2"),
             (r"norm1\.emb\.class_embedder\.embedding_table", "table"), (r"norm1\.linear", "rows"),
             (r"attn1\.to_out\.0", "attn.proj"), (r"attn1\.", "attn."), (r"norm3", "affine"),
             (r"ff\.net\.0\.proj", "mlp.0"), (r"ff\.net\.2", "mlp.3"), (r"proj_out_1", "last_rows"),
             (r"proj_out_2", "last")]
JIT_NAMES = [(r"t_embedder\.mlp", "time"), (r"y_embedder\.embedding_table", "table"),
             (r"in_context_posemb", "of_context"), (r"x_embedder\.proj1", "narrow"), (r"x_embedder\.proj2", "embed"),
             (r"final_layer\.adaLN_modulation\.1", "last_rows"), (r"final_layer\.norm_final", "last_norm"),
             (r"final_layer\.linear", "last"), (r"adaLN_modulation\.1", "rows"), (r"mlp\.", "")]
TINY = {"JiTTransformer2DModel": dict(
            sample_size=8, in_channels=3, patch_size=4, bottleneck_dim=4, num_layers=2, num_attention_heads=2,
            attention_head_dim=8, mlp_ratio=4.0, num_classes=5, context_length=2, context_start=1, dropout=0.1,
            norm_eps=1e-6, noise_scale=1.0, num_train_timesteps=1000),
        "DiTTransformer2DModel": dict(
            sample_size=8, in_channels=3, out_channels=None, patch_size=2, num_layers=2, num_attention_heads=2,
            attention_head_dim=8, activation_fn="gelu-approximate", num_embeds_ada_norm=5, norm_eps=1e-5,
            norm_elementwise_affine=False, dropout=0.0)}


def translated(tensors, names):
    """The reference's tensors by our names: the patches' filters as matrices, queries, keys and values as one."""
    by_name = {}
    for name, tensor in tensors.items():
        for pattern, ours in names:
            name = re.sub(pattern, ours, name)
        by_name[name] = tensor.flatten(1) if tensor.dim() == 4 else tensor
    for name in [name for name in by_name if "attn.to_q." in name]:
        parts = [by_name.pop(name.replace("to_q", which)) for which in ("to_q", "to_k", "to_v")]
        by_name[name.replace("to_q", "qkv")] = torch.cat(parts)
    return by_name


def gradients(network, inputs, cotangent):
    answer = network(*inputs)
    (answer * cotangent).sum().backward()
    return answer.detach(), {name: parameter.grad for name, parameter in network.named_parameters()}


class PeerTransformers(unittest.TestCase):
    def compare(self, config, size, reference_kind, names):
        config.update(sample_size=size, dropout=0.0, _class_name=reference_kind.CLASS_NAME)
        height, width = size if isinstance(size, list) else (size, size)
        torch.manual_seed(3)
        reference = reference_kind(config).double()
        with torch.no_grad():
            for parameter in reference.parameters():
                parameter += 0.2 * torch.randn_like(parameter)
        ours = peer_transformers.transformer_of(config).double()
        ours.load_state_dict(translated(reference.state_dict(), names))
        classes = config.get("num_classes", config.get("num_embeds_ada_norm"))
        inputs = [torch.randn(3, config["in_channels"], height, width).double(),
                  torch.randint(0, config.get("num_train_timesteps", 1000), (3,))]
        inputs += [torch.randint(0, classes + 1, (3,))] if classes else []
        cotangent = torch.randn_like(reference(*inputs))
        want, want_gradients = gradients(reference, inputs, cotangent)
        # Features of the time are fp32 on both sides, whose last bits are no subject here: the reference's in both.
        shift = 0 if reference_kind is transformer_reference.JiT else 1
        with unittest.mock.patch.object(peer_transformers, "time_features",
                                        lambda t, rates: transformer_reference.time_features(t, 256, shift)):
            if shift == 0:  # and the share of the data, which they are features of
                ours.own_state = lambda x, t: self.own_state(config, x, t)
            answer, found = gradients(ours, inputs, cotangent)
        wanted = translated(want_gradients, names)
        self.assertEqual(set(found), set(wanted))
        # A few hundred fp64 roundings of sums whose terms are a thousand times as large at most.
        for name, value, expected in [("answer", answer, want)] + [(n, found[n], wanted[n]) for n in sorted(found)]:
            self.assertEqual(value.shape, expected.shape, name)
            error = (value - expected).abs().max().item()
            self.assertLessEqual(error, 1e-10 * max(expected.abs().max().item(), 1e-3), f"{name} of {config}")

    @staticmethod
    def own_state(config, x, t):
        """In fp64, as the reference has it."""
        u, c = t.double() / config["num_train_timesteps"], config["noise_scale"]
        return x * (c / (c - (c - 1) * u))[:, None, None, None], 1 - u / (c - (c - 1) * u)

    def test_a_dit_is_the_references(self):
        for config in draw(random.Random(1), DIT, 4):
            self.compare(config, 4 * config["patch_size"], transformer_reference.DiT, DIT_NAMES)

    def test_a_jit_is_the_references(self):
        for config in draw(random.Random(2), JIT, 4):
            patch = config["patch_size"]
            self.compare(config, [2 * patch, 3 * patch], transformer_reference.JiT, JIT_NAMES)

    def test_features_and_state_are_the_references_but_for_their_last_bits(self):
        t = torch.arange(1000)
        for shift in (0, 1):
            ours = peer_transformers.time_features(t, peer_transformers.frequencies(shift, "cpu"))
            # An angle below 1000 of a frequency that is one bit off, 2^-24 of itself, and a rounding of its own.
            self.assertLess((ours - transformer_reference.time_features(t, 256, shift)).abs().max().item(), 2e-4)
        for scale in (1.0, 2.0):
            config = dict(TINY["JiTTransformer2DModel"], noise_scale=scale)
            x = torch.randn(1000, 3, 8, 8)
            state, share = peer_transformers.JiT(config).own_state(x, t)
            want_state, want_share = self.own_state(config, x, t)
            self.assertLess((state - want_state).abs().max().item(), 1e-6 * x.abs().max().item() * scale)
            self.assertLess((share - want_share).abs().max().item(), 1e-6)

    def test_both_peers_train_and_sample(self):
        for script, more in (("peer_torch_cpu.py", ["--variants", "eager"]), ("peer_torch_gpu.py", ["--device", "cpu"])):
            for precision in ("fp32", "bf16"):
                for name, config in TINY.items():
                    command = [sys.executable, ROOT / "tools/bench" / script, json.dumps(dict(config, _class_name=name)),
                               "--precision", precision, *more]
                    done = subprocess.run(command, input="train 2\nsample 3\nquit\n", capture_output=True, text=True)
                    answers = [json.loads(line) for line in done.stdout.splitlines()]
                    self.assertEqual([a.get("what") for a in answers], ["train 2", "sample 3"], done.stderr)
                    for answer in answers:
                        self.assertGreater(answer.get("seconds", 0), 0, answer)


if __name__ == "__main__":
    unittest.main()
