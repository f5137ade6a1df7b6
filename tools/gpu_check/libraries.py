# SPDX-License-Identifier: Apache-2.0
"""The CUDA libraries of this machine. The order is the one in which the programs look themselves: where the system's
loader looks (LD_LIBRARY_PATH first), the toolkit, then the folders of ITO_CUDA_LIBRARIES, to which those of Python
packages are added here: nvidia/<library>/lib and nvidia/cu13/lib beside python3's site-packages. Builds of cuDNN for
CUDA 12 and 13 have one file name: which it is it has to be asked."""
import glob
import json
import os
import shutil
import subprocess
import sys

from process import run

# Name, file, the function that tells the version, and how it does.
WANTED = [
    ("driver", "libcuda.so.1", "cuDriverGetVersion", "int*"),
    ("cuDNN", "libcudnn.so.9", "cudnnGetVersion", "size_t"),
    ("cuBLASLt", "libcublasLt.so.13", "cublasLtGetVersion", "size_t"),
    ("NVRTC", "libnvrtc.so.13", "nvrtcVersion", "int* int*"),
    ("NCCL", "libnccl.so.2", "ncclGetVersion", "int*"),
]
CUDA = 13  # the programs' major version
OTHER_MAJOR = "libcublasLt.so.12"  # of the packages for CUDA 12: it is named, and the programs do not use it

# Loads the first file of its arguments that can be loaded and prints where it was and what version it says.
PROBE = r"""
import ctypes, json, os, sys
function, kind, soname = sys.argv[1:4]
answer = {"errors": []}
for name in sys.argv[3:]:
    try:
        library = ctypes.CDLL(name)
    except OSError as error:
        if "No such file" not in str(error): answer["errors"].append(str(error))
        continue
    stem = os.path.basename(soname).split(".so")[0] + ".so"
    with open("/proc/self/maps") as maps:
        paths = [line.split(None, 5)[5].strip() for line in maps if len(line.split(None, 5)) == 6]
    found = [path for path in paths if os.path.basename(path).startswith(stem)]
    answer["path"], answer["name"] = found[0] if found else name, name
    if hasattr(library, "cudnnGetCudartVersion"):
        library.cudnnGetCudartVersion.restype = ctypes.c_size_t
        answer["cuda"] = library.cudnnGetCudartVersion() // 1000
    call = getattr(library, function)
    if kind == "size_t":
        call.restype = ctypes.c_size_t
        answer["number"] = call()
    else:
        numbers = [ctypes.c_int() for _ in kind.split()]
        call(*[ctypes.byref(number) for number in numbers])
        answer["number"] = [number.value for number in numbers]
    break
print(json.dumps(answer))
"""


def dotted(name, number):
    if name == "driver":
        return f"CUDA {number[0] // 1000}.{number[0] % 1000 // 10}"
    if name == "NCCL":
        number = number[0]
    if isinstance(number, list):
        return ".".join(map(str, number))
    return f"{number // 10000}.{number % 10000 // 100}.{number % 100}"


def toolkit_folders():
    homes = [os.environ.get("ITO_CUDA_HOME"), os.environ.get("CUDA_HOME"), "/usr/local/cuda"]
    compiler = shutil.which("nvcc")
    if compiler:
        homes.append(os.path.dirname(os.path.dirname(os.path.realpath(compiler))))
    folders = [os.path.join(home, part) for home in homes if home
               for part in ("lib64", "lib", "targets/x86_64-linux/lib")]
    return existing(folders)


def site_packages(python):
    code = "import json,site,sys; print(json.dumps(site.getsitepackages() + [site.getusersitepackages()] + sys.path))"
    try:
        done = subprocess.run([python, "-c", code], capture_output=True, text=True, timeout=20)
        return json.loads(done.stdout) if done.returncode == 0 else []
    except (OSError, subprocess.TimeoutExpired, ValueError):
        return []


def package_folders(pythons):
    folders = []
    for python in pythons:
        for place in site_packages(python):
            folders += sorted(glob.glob(os.path.join(glob.escape(place), "nvidia/*/lib"))) if place else []
    return existing(folders)


def existing(folders):
    seen = []
    for folder in folders:
        real = os.path.realpath(folder)
        if os.path.isdir(real) and real not in [os.path.realpath(other) for other in seen]:
            seen.append(folder)
    return seen


def from_environment(name):
    return [folder for folder in os.environ.get(name, "").split(":") if folder]


class Libraries:
    """Searches once; `environment` is what the programs are run with, `found` what there is, for the results."""

    def __init__(self, logs, pythons):
        toolkit, packages = toolkit_folders(), package_folders(pythons)
        asked = from_environment("ITO_CUDA_LIBRARIES")
        self.searched = {"LD_LIBRARY_PATH": from_environment("LD_LIBRARY_PATH"), "toolkit": toolkit,
                         "ITO_CUDA_LIBRARIES": asked, "python packages": packages}
        folders = toolkit + asked + packages
        self.found, taken = {}, []
        for name, file, function, kind in WANTED:
            entry = self.probe(name, file, function, kind, [] if name == "driver" else folders, logs)
            self.found[name] = entry
            if entry.get("path") and name != "driver":
                taken.append(os.path.dirname(entry["path"]))
        others = [os.path.join(folder, OTHER_MAJOR) for folder in folders]
        others = [path for path in others if os.path.exists(path)]
        if "path" not in self.found["cuBLASLt"] and others:
            self.found["cuBLASLt"]["errors"].append(f"{others[0]} is for CUDA 12, this program for CUDA 13")
        self.environment = dict(os.environ)
        self.environment["ITO_CUDA_LIBRARIES"] = ":".join(asked + packages)
        # cuDNN opens its parts, and those open cuBLASLt, by their plain names. What was taken in place of a build for
        # another CUDA comes first: the programs would find that one before it.
        first = [os.path.dirname(entry["path"]) for entry in self.found.values() if entry.get("in_place_of")]
        self.environment["LD_LIBRARY_PATH"] = ":".join(existing(first + from_environment("LD_LIBRARY_PATH") + taken))
        if os.environ.get("CUDA_HOME") and not os.environ.get("ITO_CUDA_HOME"):
            self.environment["ITO_CUDA_HOME"] = os.environ["CUDA_HOME"]

    @staticmethod
    def probe(name, file, function, kind, folders, logs):
        """The first candidate that loads and is not a build for another CUDA; a process for each of those."""
        candidates = [file] + [os.path.join(folder, file) for folder in folders]
        errors, refused = [], []
        while candidates:
            log = os.path.join(logs, f"library-{name}" + (f"-{len(refused)}" if refused else ""))
            outcome = run([sys.executable, "-c", PROBE, function, kind] + candidates, 60, log)
            try:
                answer = json.loads(outcome.out)
            except ValueError:
                return {"file": file, "errors": errors + [f"looking for it {outcome.ending()}: {outcome.last_line()}"]}
            errors += answer["errors"]
            if "path" not in answer:
                break
            if answer.get("cuda", CUDA) != CUDA:
                refused.append(answer["path"])
                errors.append(f"{answer['path']} is a build for CUDA {answer['cuda']}, these programs are for {CUDA}")
                candidates = candidates[candidates.index(answer["name"]) + 1:]
                continue
            return {"file": file, "errors": errors, "path": answer["path"], "in_place_of": refused,
                    "version": dotted(name, answer["number"])}
        return {"file": file, "errors": errors}

    def named(self):
        """For people: `cuDNN 9.19.0` of each that is there."""
        return [f"{name} {entry['version']}" for name, entry in self.found.items() if "path" in entry]

    def absent(self):
        return [name for name, entry in self.found.items() if "path" not in entry]

    def lines(self):
        for name, entry in self.found.items():
            if "path" in entry:
                yield f"{name} {entry['version']}: {entry['path']}"
            else:
                yield f"{name}: {entry['file']} not found" + "".join(f"; {error}" for error in entry["errors"])
