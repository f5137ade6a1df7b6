# SPDX-License-Identifier: Apache-2.0
"""What the peers of `ito bench` read in a config.json of ours: the network's class, its images and its labels."""
import json
import math
import pathlib

import torch


def read_config(given):
    """given: the file's path, or its text."""
    return json.loads(given if given.lstrip().startswith("{") else pathlib.Path(given).read_text())


def is_transformer(config):
    return "Transformer" in config.get("_class_name", "")


def image_shape(config):
    """(C, H, W)."""
    size = config["sample_size"]
    return (config["in_channels"], *(size if isinstance(size, list) else (size, size)))


def numbers_of(config):
    """Of an image."""
    return math.prod(image_shape(config))


def labels_of(config, batch, device="cpu"):
    """What the network is told besides the image and t, as a tuple: class 0, where it knows classes."""
    classes = any(config.get(key) for key in ("num_class_embeds", "num_embeds_ada_norm", "num_classes"))
    return (torch.zeros(batch, dtype=torch.long, device=device),) if classes else ()
