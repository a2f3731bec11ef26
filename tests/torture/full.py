#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""full.py [--sizes N] [--seed S]: stores on file systems that are too small.

Bytes and inodes run out at every size from nothing to enough.  Whatever was asked for fails
with "No space left" and leaves the store whole, its names as they were and a collection
possible; once there is room the same command works.
"""
import argparse
import os
import random
import subprocess
import sys

import lab

COMMANDS = {
    "commit": lambda place: ["commit", place / "new", "a"],
    "import": lambda place: ["import", place / "new.tar", "a"],
    "ref set": lambda place: ["ref", "set", "another/name", "old"],
}


def mount(path, options):
    subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", path], check=True)


def fill(template, path, options):
    """A tmpfs with a copy of the store, and then with only so much room."""
    mount(path, "size=64m,nr_inodes=100k")
    lab.copy(template, path / "store")
    stat = os.statvfs(path)
    used = (stat.f_blocks - stat.f_bfree) * stat.f_frsize
    inodes = stat.f_files - stat.f_ffree
    subprocess.run(["mount", "-o", "remount," + options(used, inodes), path], check=True)


def try_one(name, place, options, digest):
    disk = place / "disk"
    store = disk / "store"
    fill(place / "template", disk, options)
    try:
        before = lab.refs(store)
        command = COMMANDS[name](place)
        result = lab.run(store, *command, status=None)
        text = result.stderr.decode()
        if result.returncode == 0:
            lab.judge(store)
            return True
        if result.returncode != 1 or "No space left" not in text:
            raise lab.Violation(f"{result.returncode}: {text}")
        lab.judge(store)
        if lab.refs(store) != before:
            raise lab.Violation("it failed and changed a name")
        lab.run(store, "gc")
        lab.judge(store, complete=True)
        subprocess.run(["mount", "-o", "remount,size=64m,nr_inodes=100k", disk], check=True)
        lab.run(store, *command)
        if name != "ref set" and lab.refs(store)["name/a"] != digest:
            raise lab.Violation("the second try gave something else")
        lab.judge(store)
        return False
    finally:
        subprocess.run(["umount", "-l", disk], check=False)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--sizes", type=int, default=20)
    parser.add_argument("--seed", type=int, default=int(os.environ.get("COPPICE_SEED", "1")))
    args = parser.parse_args()
    if not lab.own_mounts():
        lab.skip("a full disk needs root")
    report = lab.Report("full", args.seed)
    rng = random.Random(args.seed)
    place = lab.scratch("full")
    (place / "disk").mkdir()
    old, new = lab.make_tree(place / "old", 1), lab.make_tree(place / "new", 2, 40)
    lab.out(place / "template", "commit", old, "old")
    lab.out(place / "template", "commit", old, "a")
    digest = lab.out(place / "elsewhere", "commit", new, "a")
    lab.out(place / "elsewhere", "export", "a", place / "new.tar", "--format", "tar")
    need = sum(path.stat().st_blocks * 512 for path in (place / "elsewhere").rglob("*")) + (1 << 18)
    n_inodes = sum(1 for _ in (place / "elsewhere").rglob("*")) + 40
    for name in COMMANDS:
        # A name takes a few files and directories.
        most_bytes, most_inodes = (1 << 17, 20) if name == "ref set" else (need, n_inodes)
        for number in range(args.sizes):
            share = (number + rng.random()) / args.sizes
            room, count = int(most_bytes * share), int(most_inodes * share)
            for what, options in (
                    ("bytes", lambda used, inodes: f"size={(used + room) // 4096 * 4096},nr_inodes=100k"),
                    ("inodes", lambda used, inodes: f"size=64m,nr_inodes={inodes + count}")):
                try:
                    fits = try_one(name, place, options, digest)
                    report.count(f"{what} sufficed" if fits else f"{what} ran out")
                except lab.Violation as problem:
                    report.violation(f"{name}, {what}, {room} bytes or {count} inodes", str(problem))
    return report.end()


if __name__ == "__main__":
    sys.exit(main())
