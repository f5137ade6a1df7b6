# SPDX-License-Identifier: Apache-2.0
"""Where the seeds of a parser stand."""
import pathlib

CORPUS = pathlib.Path(__file__).resolve().parent / "corpus"


def write(parser, name, data):
    folder = CORPUS / parser
    folder.mkdir(parents=True, exist_ok=True)
    (folder / name).write_bytes(data.encode() if isinstance(data, str) else data)
