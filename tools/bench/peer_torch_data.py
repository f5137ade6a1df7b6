#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""The peer of `ito bench data --against pytorch`: torch's DataLoader over the same files.

A folder is torchvision's ImageFolder (or, without classes, its images in a flat list) with Resize, CenterCrop and
PILToTensor; a packed file is a memory map whose images are copied one by one. For each line `data BATCH` of standard
input one epoch of whole batches in a random order, and the seconds it took as JSON.
"""
import argparse
import json
import os
import pathlib
import struct
import sys
import time

import numpy
import torch
import torchvision
from torchvision import transforms


class Flat(torch.utils.data.Dataset):
    def __init__(self, folder, transform):
        self.paths = sorted(p for p in pathlib.Path(folder).rglob("*") if p.suffix.lower() in (".png", ".jpg", ".jpeg"))
        self.transform = transform

    def __len__(self):
        return len(self.paths)

    def __getitem__(self, index):
        return self.transform(torchvision.datasets.folder.default_loader(self.paths[index])), 0


class Packed(torch.utils.data.Dataset):
    def __init__(self, path):
        with open(path, "rb") as file:
            length, = struct.unpack("<Q", file.read(8))
            header = json.loads(file.read(length))
        self.maps = {}
        for name, kind in (("samples", numpy.uint8), ("labels", numpy.int64)):
            if name in header:
                begin = 8 + length + header[name]["data_offsets"][0]
                self.maps[name] = numpy.memmap(path, kind, "r", begin, tuple(header[name]["shape"]))

    def __len__(self):
        return len(self.maps["samples"])

    def __getitem__(self, index):
        label = int(self.maps["labels"][index]) if "labels" in self.maps else 0
        return torch.from_numpy(numpy.array(self.maps["samples"][index])), label


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", required=True)
    parser.add_argument("--size", type=int, default=0)
    parser.add_argument("--threads", type=int, default=1)
    arguments = parser.parse_args()
    steps = [transforms.Resize(arguments.size), transforms.CenterCrop(arguments.size)] if arguments.size else []
    transform = transforms.Compose(steps + [transforms.PILToTensor()])
    if arguments.data.endswith(".safetensors"):
        data = Packed(arguments.data)
    elif any(item.is_dir() for item in os.scandir(arguments.data)):
        data = torchvision.datasets.ImageFolder(arguments.data, transform)
    else:
        data = Flat(arguments.data, transform)
    torch.set_num_threads(1)
    loaders = {}
    for line in sys.stdin:
        batch = int(line.split()[1])
        if batch not in loaders:
            loaders[batch] = torch.utils.data.DataLoader(data, batch, shuffle=True, num_workers=arguments.threads,
                                                         drop_last=True, persistent_workers=True)
        start = time.perf_counter()
        images = sum(len(images) for images, _ in loaders[batch])
        print(json.dumps({"seconds": time.perf_counter() - start, "images": images, "workers": arguments.threads,
                          "torch": torch.__version__, "torchvision": torchvision.__version__}), flush=True)


if __name__ == "__main__":
    main()
