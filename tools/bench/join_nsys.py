#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Lays what Nsight Systems measured of a captured step beside the layers that its nodes came from.

  join_nsys.py graph-nodes.json FILE.sqlite [--json] [--rows 20]

graph-nodes.json is written by `ito profile --graph-nodes`; FILE.sqlite by `nsys export --type sqlite` from a
recording with --cuda-graph-trace=node of the same model, batch, precision and card. Nodes are matched by their rank in
the graph: the ids that the profiler gives nodes rise in the order in which they were captured. Python, since it has
SQLite in its library: a report that is read once is no reason for the engine to depend on one.
"""
import argparse
import json
import sqlite3
import statistics
import sys
from collections import defaultdict

KINDS = ("KERNEL", "MEMCPY", "MEMSET")


def tables_of(database):
    return {row[0] for row in database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")}


def replays(path):
    """One list a replay of the graph: (node id, nanoseconds, kernel's name), by node."""
    database = sqlite3.connect(f"file:{path}?mode=ro", uri=True)
    tables = tables_of(database)
    names = dict(database.execute("SELECT id, value FROM StringIds")) if "StringIds" in tables else {}
    found = defaultdict(list)
    for kind in KINDS:
        table = f"CUPTI_ACTIVITY_KIND_{kind}"
        if table not in tables:
            continue
        columns = {row[1] for row in database.execute(f"PRAGMA table_info({table})")}
        if not {"graphNodeId", "correlationId", "start", "end"} <= columns:
            continue
        name = "shortName" if "shortName" in columns else "NULL"
        for node, launch, start, end, text in database.execute(
                f"SELECT graphNodeId, correlationId, start, end, {name} FROM {table} WHERE graphNodeId IS NOT NULL"):
            if node:
                found[launch].append((node, end - start, names.get(text, kind.lower())))
    return [sorted(nodes) for _, nodes in sorted(found.items())]


def join(nodes, recorded):
    """Rows by layer and pass, longest first; ValueError where the two are not of the same graph."""
    whole = [replay for replay in recorded if len(replay) == len(nodes)]
    if not whole:
        sizes = sorted({len(replay) for replay in recorded})
        raise ValueError(f"no replay of {len(nodes)} nodes in the recording, which has replays of {sizes or 'none'}; "
                         "record the same model, batch and precision with --cuda-graph-trace=node")
    rows = {}
    for rank, node in enumerate(nodes):
        seconds = 1e-9 * statistics.median(replay[rank][1] for replay in whole)
        key = (node["layer"], node["pass"])
        row = rows.setdefault(key, dict(layer=node["layer"], op=node["op"], seconds=0, flop=0, bytes=0, nodes=0,
                                        kernels=[], **{"pass": node["pass"]}))
        row["seconds"] += seconds
        row["flop"] += node["flop"]
        row["bytes"] += node["bytes"]
        row["nodes"] += 1
        if whole[0][rank][2] not in row["kernels"]:
            row["kernels"].append(whole[0][rank][2])
    return sorted(rows.values(), key=lambda row: -row["seconds"]), len(whole)


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("nodes", help="graph-nodes.json")
    parser.add_argument("sqlite", help="what nsys export --type sqlite wrote")
    parser.add_argument("--json", action="store_true")
    parser.add_argument("--rows", type=int, default=20)
    args = parser.parse_args()
    try:
        with open(args.nodes) as file:
            nodes = json.load(file)["nodes"]
        rows, count = join(nodes, replays(args.sqlite))
    except (OSError, ValueError, KeyError, sqlite3.Error) as error:
        raise SystemExit(f"join_nsys.py: {args.nodes} and {args.sqlite}: {error}")
    if args.json:
        json.dump({"replays": count, "layers": rows}, sys.stdout)
        return
    total = sum(row["seconds"] for row in rows)
    print(f"{count} replays of {len(nodes)} nodes, {1e3 * total:.3f} ms a replay in nodes\n")
    print(f"{'layer':44} {'pass':8} {'us':>10} {'share':>6} {'GB/s':>9} {'TFLOP/s':>9}  kernels")
    for row in rows[:args.rows]:
        seconds = row["seconds"] or 1e-12
        print(f"{row['layer']:44} {row['pass']:8} {1e6 * row['seconds']:10.2f} {row['seconds'] / total:6.1%} "
              f"{1e-9 * row['bytes'] / seconds:9.1f} {1e-12 * row['flop'] / seconds:9.2f}  {', '.join(row['kernels'])}")


if __name__ == "__main__":
    main()
