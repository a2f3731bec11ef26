#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""flip.py [--points N] [--seed S]: every byte of one image and of one pool file is changed,
one at a time; files are cut, emptied and grown.  An export must notice, and verify too, each
time, and a commit of the same tree must heal it."""
import argparse
import os
import random
import sys

import lab

STORE = None
TREE = None
WHOLE = {}


def damage(kind, data, rng):
    if isinstance(kind, int):
        return data[:kind] + bytes([data[kind] ^ (1 << rng.randrange(8))]) + data[kind + 1:]
    return {"cut": data[:-1], "empty": b"", "grown": data + b"\0", "zero": bytes(len(data))}[kind]


def write(path, data):
    os.chmod(path, 0o600)
    path.write_bytes(data)
    os.chmod(path, 0o444)


def try_flip(point):
    path, kind, seed, heal = point
    place = STORE.parent / f"copy-{os.getpid()}"
    if not place.exists():
        lab.copy(STORE, place)
    target = place / path
    data = WHOLE[path]
    write(target, damage(kind, data, random.Random(seed)))
    try:
        result = lab.run(place, "export", "a", "-", status=None, env=lab.QUIET)
        text = result.stderr.decode()
        if result.returncode != 1 or text.count("\n") != 1:
            raise lab.Violation(f"export gave {result.returncode}: {text}")
        result = lab.run(place, "verify", "a", status=None, env=lab.QUIET)
        if result.returncode != 1:
            raise lab.Violation(f"verify gave {result.returncode}: {result.stdout.decode()}")
        if heal:
            lab.run(place, "commit", TREE, "a", env=lab.QUIET)
            lab.judge(place)
            lab.run(place, "export", "a", "-", env=lab.QUIET)
    except lab.Violation as problem:
        lab.remove(place)
        return point, str(problem)
    if heal:
        lab.remove(place)
    else:
        for mark in (place / "meta/damaged").iterdir():
            mark.unlink()
        write(target, data)
    return point, None


def main():
    global STORE, TREE
    parser = argparse.ArgumentParser()
    parser.add_argument("--points", type=int)
    parser.add_argument("--seed", type=int, default=int(os.environ.get("COPPICE_SEED", "1")))
    args = parser.parse_args()
    report = lab.Report("flip", args.seed)
    lab.own_mounts()
    top = lab.in_memory("flip")
    STORE, TREE = top / "store", lab.make_tree(top / "tree", 3)
    digest = lab.out(STORE, "commit", TREE, "a")
    files = sorted((path for path in (STORE / "files").rglob("*") if path.is_file()), key=lambda p: p.stat().st_size)
    image = STORE / "objects" / digest[:2] / digest[2:]
    victims = [path for path in files if 1000 < path.stat().st_size < 10000][:1] + [image]
    rng = random.Random(args.seed)
    points = []
    for path in victims:
        name = path.relative_to(STORE)
        WHOLE[name] = path.read_bytes()
        kinds = [*range(len(WHOLE[name])), "cut", "empty", "grown", "zero"]
        points += [(name, kind, rng.random(), kind in ("cut", "empty", "grown", "zero") or rng.random() < 0.02)
                   for kind in kinds]
    report.count("points in all", len(points))
    if args.points and args.points < len(points):
        points = rng.sample(points, args.points)
    for (path, kind, _, heal), complaint in lab.in_parallel(try_flip, points):
        report.count(f"in {path.parts[0]}")
        report.count("healed by a commit", heal)
        if complaint:
            report.violation(f"{path} {kind}", complaint)
    return report.end()


if __name__ == "__main__":
    sys.exit(main())
