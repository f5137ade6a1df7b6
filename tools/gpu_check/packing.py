# SPDX-License-Identifier: Apache-2.0
"""--pack: build/gpu-pack/, a folder that needs nothing on the other machine but a driver, python3 and libc."""
import glob
import hashlib
import os
import re
import shutil
import subprocess
import sys
import time

import recording
from place import HERE, tree_commit
from results import write_json

LIMIT = 60 << 20  # bytes
# libc's own libraries, and the loader: all that the programs may need.
SYSTEM = {"libc.so.6", "libm.so.6", "libdl.so.2", "libpthread.so.0", "librt.so.1", "ld-linux-x86-64.so.2"}
ARCHITECTURES = {"sm_80", "sm_90a"}
PEER = ["tools/bench/peer_torch_gpu.py", "tools/bench/peer_config.py", "tests/parity/unet_reference.py",
        "tests/parity/safetensors_io.py"]
RANKS = "ito-mpi.so"  # which a program opens beside itself where it is one of several ranks
MPI = {"libmpi.so.40"}  # what that may need besides: Open MPI's, of the other machine
BUILT = ["ito-cuda", "tests.cuda", "ito-cpu"]


class PackError(Exception):
    pass


def find_nvcc():
    return shutil.which("nvcc") or shutil.which("/usr/local/cuda/bin/nvcc")


def output_of(*command):
    done = subprocess.run(command, capture_output=True, text=True)
    if done.returncode != 0:
        raise PackError(f"{' '.join(command[:2])}: exit code {done.returncode}: {done.stderr.strip()[-300:]}")
    return done.stdout


def needed(path):
    return sorted(re.findall(r"\(NEEDED\).*\[(.*)\]", output_of("readelf", "-d", path)))


def libc_version(path):
    """The newest version of glibc whose symbols the program uses, as numbers."""
    versions = re.findall(r"GLIBC_(\d+)\.(\d+)", output_of("readelf", "-V", path))
    return max((int(major), int(minor)) for major, minor in versions)


def architectures(path):
    """What its device code was compiled for, as tools/static_bars reads it."""
    sys.path.insert(0, os.path.dirname(HERE))
    from static_bars import cubin
    with open(path, "rb") as file:
        images = cubin.cubins_of(file.read(), path)
        return sorted({cubin.architecture_of(cubin.sections_of(image, path), image)[0] for image in images})


def build(place, say):
    """Configures and builds the preset `cuda`, if that is the build asked for; another build is taken as it is."""
    if place.build != os.path.join(place.root, "build/cuda"):
        return
    jobs = str(os.cpu_count() or 1)
    for words in (["cmake", "--preset", "cuda"],
                  ["cmake", "--build", "--preset", "cuda", "--parallel", jobs, "--target"] + BUILT):
        say(" ".join(words))
        done = subprocess.run(words, cwd=place.root, capture_output=True, text=True)
        if done.returncode != 0:
            raise PackError(f"{' '.join(words)} failed:\n{done.stdout[-3000:]}{done.stderr[-3000:]}")


def copy_program(source, target, allowed=SYSTEM):
    shutil.copy2(source, target)
    output_of("strip", target)
    extra = set(needed(target)) - allowed
    if extra:
        raise PackError(f"{target} needs {', '.join(sorted(extra))}: a pack may need libc alone, and {RANKS} Open MPI; "
                        "was the build configured with ITO_STATIC=ON?")


def pack(place, target, say):
    """Returns pack.json's content. Raises PackError, RuntimeError."""
    build(place, say)
    missing = place.missing()
    if missing:
        raise PackError(missing)
    recording.record(place.recording, os.path.join(place.build, "ito-cpu"), say)
    partial = target + ".partial"
    shutil.rmtree(partial, ignore_errors=True)
    os.makedirs(os.path.join(partial, "bin"))
    programs = [os.path.join(partial, "bin", name) for name in ("ito-cuda", "tests.cuda")]
    for source, program in zip((place.ito, place.tests), programs):
        copy_program(source, program)
    if os.path.exists(os.path.join(place.build, RANKS)):
        copy_program(os.path.join(place.build, RANKS), os.path.join(partial, "bin", RANKS), SYSTEM | MPI)
    else:
        say(f"no {RANKS} in {place.build}, which was built without MPI: this pack starts no ranks")
    shutil.copy2(os.path.join(place.root, "tools/gpu_check.sh"), partial)
    shutil.copytree(HERE, os.path.join(partial, "gpu_check"), ignore=shutil.ignore_patterns("__pycache__"))
    shutil.copytree(place.recording, os.path.join(partial, "recording"))
    os.makedirs(os.path.join(partial, "peer"))
    for name in PEER:
        shutil.copy2(os.path.join(place.root, name), os.path.join(partial, "peer"))
    shutil.copy2(os.path.join(place.root, "docs/gpu.md"), partial)
    golden = os.path.join(place.root, "tests/golden")
    if os.path.isdir(golden) and os.listdir(golden):
        shutil.copytree(golden, os.path.join(partial, "tests/golden"))

    built_for = {os.path.basename(program): architectures(program) for program in programs}
    for name, found in built_for.items():
        if not ARCHITECTURES <= set(found):
            raise PackError(f"{name} holds code for {', '.join(found) or 'nothing'}; expected "
                            f"{', '.join(sorted(ARCHITECTURES))}")
    files = {}
    for path in sorted(glob.glob(os.path.join(partial, "**"), recursive=True)):
        if os.path.isfile(path):
            with open(path, "rb") as file:
                files[os.path.relpath(path, partial)] = hashlib.sha256(file.read()).hexdigest()
    content = {"commit": tree_commit(place.root), "packed": time.strftime("%Y-%m-%d", time.gmtime()),
               "architectures": sorted(ARCHITECTURES),
               "needed": sorted(set(sum((needed(program) for program in programs), []))),
               "glibc": ".".join(map(str, max(map(libc_version, programs)))),
               "size": sum(os.path.getsize(os.path.join(partial, name)) for name in files), "files": files}
    write_json(os.path.join(partial, "pack.json"), content)
    if content["size"] > LIMIT:
        raise PackError(f"{partial} is {content['size'] / 2 ** 20:.1f} MiB, more than {LIMIT >> 20}")
    shutil.rmtree(target, ignore_errors=True)
    os.rename(partial, target)
    return content
