#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""join_nsys.py on a recording made here, in the tables that an export has: nodes by rank, medians of replays."""
import json
import os
import sqlite3
import subprocess
import sys
import tempfile
import unittest

SCRIPT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tools", "bench", "join_nsys.py")


def node(number, layer, kernel, flop=0):
    return {"node": number, "layer": layer, "op": "conv2d", "pass": "forward", "kernel": kernel, "flop": flop,
            "bytes": 8}


class JoinNsys(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.nodes = os.path.join(self.folder.name, "graph-nodes.json")
        self.sqlite = os.path.join(self.folder.name, "report.sqlite")

    def tearDown(self):
        self.folder.cleanup()

    def write(self, nodes, kernels):
        """kernels: (graphNodeId, correlationId, start, end, shortName)."""
        with open(self.nodes, "w") as file:
            json.dump({"nodes": nodes}, file)
        database = sqlite3.connect(self.sqlite)
        database.execute("CREATE TABLE StringIds (id INTEGER, value TEXT)")
        database.executemany("INSERT INTO StringIds VALUES (?, ?)", [(1, "first_kernel"), (2, "second_kernel")])
        database.execute("CREATE TABLE CUPTI_ACTIVITY_KIND_KERNEL (graphNodeId INTEGER, correlationId INTEGER, "
                         "start INTEGER, end INTEGER, shortName INTEGER)")
        database.executemany("INSERT INTO CUPTI_ACTIVITY_KIND_KERNEL VALUES (?, ?, ?, ?, ?)", kernels)
        database.commit()
        database.close()

    def join(self):
        return subprocess.run([sys.executable, SCRIPT, self.nodes, self.sqlite, "--json"], capture_output=True,
                              text=True)

    def test_layers_have_the_medians_of_their_nodes(self):
        # Three replays; a kernel outside of any graph; rows not in the nodes' order.
        times = [(10, 30), (20, 50), (90, 40)]
        kernels = [(None, 99, 0, 1000, 1)]
        for replay, (first, second) in enumerate(times):
            kernels.append((502, replay, 100, 100 + second, 2))
            kernels.append((501, replay, 0, first, 1))
        self.write([node(0, "conv_in", "a", 5), node(1, "conv_out", "b", 7)], kernels)
        result = self.join()
        self.assertEqual(result.returncode, 0, result.stderr)
        answer = json.loads(result.stdout)
        self.assertEqual(answer["replays"], 3)
        rows = {row["layer"]: row for row in answer["layers"]}
        self.assertAlmostEqual(rows["conv_in"]["seconds"], 20e-9)
        self.assertAlmostEqual(rows["conv_out"]["seconds"], 40e-9)
        self.assertEqual(rows["conv_out"]["kernels"], ["second_kernel"])
        self.assertEqual(rows["conv_in"]["flop"], 5)
        self.assertEqual(answer["layers"][0]["layer"], "conv_out")

    def test_a_recording_of_another_graph_is_refused(self):
        self.write([node(0, "conv_in", "a")], [(501, 0, 0, 1, 1), (502, 0, 2, 3, 2)])
        result = self.join()
        self.assertEqual(result.returncode, 1)
        self.assertIn("no replay of 1 nodes", result.stderr)
        self.assertNotIn("Traceback", result.stderr)


if __name__ == "__main__":
    unittest.main()
