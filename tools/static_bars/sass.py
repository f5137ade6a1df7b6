# SPDX-License-Identifier: Apache-2.0
"""Counts the instructions that the bars are about, in the machine code of sm_70 and later.

An instruction is 16 bytes; its lowest nine bits name the operation (the next three say which operands are registers),
and bits 73 to 75 of a load or store give the width. The encoding is undocumented; where nvdisasm is at hand,
tests/tools/test_static_bars.py holds every count against its listing.
"""
import collections
import struct

INSTRUCTION = 16
OPERATIONS = {
    0x03C: "HMMA",
    0x037: "IMMA",
    0x1F0: "HGMMA",  # wgmma
    0x1AE: "LDGSTS",  # cp.async
    0x03B: "LDSM",  # ldmatrix
    0x183: "LDL",
    0x187: "STL",
    0x181: "LDG",
    0x186: "STG",
}
WIDE_OPERATIONS = {0x17E: "LDG", 0x17F: "STG"}  # 256 bits, sm_100 and later
WIDTHS = (8, 8, 16, 16, 32, 64, 128)  # of the width field's values; 0 to 3 are U8, S8, U16, S16


def count(code):
    """{operation: instructions}; LDG and STG as {(operation, bits): instructions}."""
    counts = collections.Counter()
    for low, high in struct.iter_unpack("<QQ", code[: len(code) // INSTRUCTION * INSTRUCTION]):
        operation = low & 0x1FF
        if operation in WIDE_OPERATIONS:
            counts[WIDE_OPERATIONS[operation], 256] += 1
        elif operation in OPERATIONS:
            name = OPERATIONS[operation]
            if name in ("LDG", "STG"):
                width = high >> 9 & 7
                counts[name, WIDTHS[width] if width < len(WIDTHS) else 0] += 1
            else:
                counts[name] += 1
    return counts
