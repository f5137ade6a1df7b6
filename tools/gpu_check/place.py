# SPDX-License-Identifier: Apache-2.0
"""Where things are: a pack (a folder with pack.json, this script and the programs) or the source tree with a build."""
import json
import os
import shutil
import subprocess

HERE = os.path.dirname(os.path.abspath(__file__))
NO_DEVICE_EXIT = 77


class Place:
    def __init__(self, build=None):
        parent = os.path.dirname(HERE)
        self.pack = None
        if os.path.exists(os.path.join(parent, "pack.json")):
            with open(os.path.join(parent, "pack.json")) as file:
                self.pack = json.load(file)
            self.root, self.build = parent, parent
            self.ito, self.tests = os.path.join(parent, "bin/ito-cuda"), os.path.join(parent, "bin/tests.cuda")
            self.recording, self.peer = os.path.join(parent, "recording"), os.path.join(parent, "peer")
        else:
            self.root = os.path.dirname(parent)
            self.build = os.path.abspath(build) if build else os.path.join(self.root, "build/cuda")
            self.ito, self.tests = os.path.join(self.build, "ito-cuda"), os.path.join(self.build, "tests/tests.cuda")
            self.recording = os.path.join(self.build, "gpu_check-recording")
            self.peer = os.path.join(self.root, "tools/bench")

    def in_tree(self):
        return self.pack is None

    def missing(self):
        """What has to be there and is not, as a message; or None."""
        for path in (self.ito, self.tests):
            if os.path.isfile(path) and not os.access(path, os.X_OK):
                os.chmod(path, 0o755)  # a copy may have lost it
            if not os.access(path, os.X_OK):
                if self.in_tree():
                    return f"{path} is not there: run cmake --preset cuda && cmake --build --preset cuda"
                return f"{path} is not there: this pack is not whole; build it again with tools/gpu_check.sh --pack"
        return None

    def load_recording(self):
        with open(os.path.join(self.recording, "recording.json")) as file:
            return json.load(file)

    def commit(self):
        if self.pack is not None:
            return self.pack["commit"]
        return tree_commit(self.root)


def tree_commit(root):
    """The commit, with a + if the tree differs from it; `unknown` without git."""
    if not shutil.which("git"):
        return "unknown"
    head = subprocess.run(["git", "-C", root, "rev-parse", "HEAD"], capture_output=True, text=True)
    if head.returncode != 0:
        return "unknown"
    changes = subprocess.run(["git", "-C", root, "status", "--porcelain", "--untracked-files=no"], capture_output=True,
                             text=True).stdout.strip()
    return head.stdout.strip()[:12] + ("+" if changes else "")
