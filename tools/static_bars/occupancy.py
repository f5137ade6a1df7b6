# SPDX-License-Identifier: Apache-2.0
"""Resident blocks a multiprocessor, from the limits of each compute capability.

Limits: CUDA C++ programming guide, "Technical specifications per compute capability"; rules of rounding: the toolkit's
cuda_occupancy.h, against which tests/tools/test_static_bars.py checks this file.
"""
import dataclasses


@dataclasses.dataclass(frozen=True)
class Limits:
    threads: int  # a multiprocessor
    blocks: int  # a multiprocessor
    shared: int  # bytes a multiprocessor; a block may have 1 KiB less
    registers: int = 65536


LIMITS = {
    "sm_80": Limits(2048, 32, 164 * 1024),
    "sm_86": Limits(1536, 16, 100 * 1024),
    "sm_89": Limits(1536, 24, 100 * 1024),
    "sm_90": Limits(2048, 32, 228 * 1024),
    "sm_100": Limits(2048, 32, 228 * 1024),
    "sm_120": Limits(1536, 24, 100 * 1024),
}
# Code for sm_80 also runs on the later minor versions of its family, which have other limits.
RUNS_ON = {"sm_80": ("sm_80", "sm_86", "sm_89"), "sm_86": ("sm_86", "sm_89")}
WARP = 32
PARTITIONS = 4  # schedulers, each with a quarter of the registers
REGISTER_UNIT = 256  # registers are given to a warp in such pieces
SHARED_UNIT = 128
SYSTEM_SHARED = 1024  # bytes a block that the system reserves


def round_up(n, unit):
    return -(-n // unit) * unit


def resident_blocks(device, registers, threads, shared):
    """Blocks of `threads` threads and `shared` bytes (static and dynamic) that fit; 0: not even one."""
    limits = LIMITS[device]
    if threads > 1024 or shared > limits.shared - SYSTEM_SHARED:
        return 0
    warps = round_up(threads, WARP) // WARP
    by_warps = limits.threads // WARP // warps
    by_shared = limits.shared // round_up(shared + SYSTEM_SHARED, SHARED_UNIT)
    registers_a_warp = round_up(max(registers, 1) * WARP, REGISTER_UNIT)
    if registers_a_warp * round_up(warps, PARTITIONS) > limits.registers:
        return 0  # a launch is admitted as if every partition held as many of its warps
    by_registers = limits.registers // PARTITIONS // registers_a_warp * PARTITIONS // warps
    return min(by_warps, limits.blocks, by_shared, by_registers)


def resident_on_devices(arch, registers, threads, shared):
    """{device: blocks} for the devices that would run code for `arch`."""
    base = arch.rstrip("abcdef")
    return {device: resident_blocks(device, registers, threads, shared)
            for device in RUNS_ON.get(base, (base,)) if device in LIMITS}
