# SPDX-License-Identifier: Apache-2.0
"""Writable views: ready to write, committed, what a checkpoint costs on disk; and read views.

The peers: copying the base and hashing the copy, as stores of plain directories do, and
ostree's checkout with hard links and commit of it.
"""
import hashlib
import json
import os
import pathlib
import stat
import statistics
import subprocess
import time

from measure import COPPICE, TOP, Run, count, drop_caches, median, remove, rotate, sync
from trees import debian_tree, many_files

CHANGED = "usr/share/doc/bash/copyright"
LARGE = 1 << 20
INPROCESS = TOP / "build" / "bench" / "bench-inprocess"


class Timed:
    """Wall seconds of several steps in one, as Run has them of one."""

    def __init__(self, *runs):
        self.wall = sum(run.wall for run in runs)
        self.cpu = sum(run.cpu for run in runs)


def hash_tree(folder, digest):
    """One digest over names, metadata and contents, read by one thread, file after file."""
    for entry in sorted(os.scandir(folder), key=lambda e: e.name):
        info = entry.stat(follow_symlinks=False)
        xattrs = [(n, os.getxattr(entry.path, n, follow_symlinks=False).hex())
                  for n in os.listxattr(entry.path, follow_symlinks=False)]
        digest.update(json.dumps([entry.name, info.st_mode, info.st_uid, info.st_gid,
                                  xattrs]).encode())
        if stat.S_ISLNK(info.st_mode):
            digest.update(os.readlink(entry.path).encode())
        elif stat.S_ISREG(info.st_mode):
            with open(entry.path, "rb") as file:
                while chunk := file.read(1 << 20):
                    digest.update(chunk)
        elif stat.S_ISDIR(info.st_mode):
            hash_tree(entry.path, digest)


def disk_use(folder):
    """Bytes that du counts: each inode once."""
    seen, total = set(), 0
    for here, dirs, files in os.walk(folder):
        for name in [*dirs, *files]:
            info = os.lstat(os.path.join(here, name))
            if info.st_ino not in seen:
                seen.add(info.st_ino)
                total += info.st_blocks * 512
    return total


def walk_stat(tree):
    for here, dirs, files in os.walk(tree):
        for name in [*dirs, *files]:
            os.lstat(os.path.join(here, name))


def read_files(tree, wanted):
    """Read every regular file of a size that is @wanted, as long as it comes to a gigabyte."""
    buffer = bytearray(LARGE)
    total = 0
    for here, _, files in os.walk(tree):
        for name in files:
            path = os.path.join(here, name)
            info = os.lstat(path)
            if not stat.S_ISREG(info.st_mode) or not wanted(info.st_size):
                continue
            with open(path, "rb", buffering=0) as file:
                while n := file.readinto(buffer):
                    total += n
            if total >= 1 << 30:
                return


def timed(function, *arguments):
    start = time.monotonic()
    function(*arguments)
    return time.monotonic() - start


class Views:
    def __init__(self, work, rounds):
        self.work, self.rounds = work, rounds
        self.tree = debian_tree(work)
        self.store = work / "store-views"
        self.mount = work / "mount"
        self.copies = work / "rounds" / f"views-{time.time_ns()}"
        self.copies.mkdir(parents=True)
        self.number = 0
        remove(self.store)
        self.mount.mkdir(exist_ok=True)
        self.coppice("commit", self.tree, "base")
        # The first view of a start of the machine looks at what the kernel can.
        self.change(lambda view: None)

    def coppice(self, *arguments):
        return Run([COPPICE, "-q", "--store", self.store, *arguments])

    def change(self, change, base="base"):
        """A view of @base, changed: what it took to open and to commit it."""
        self.number += 1
        opened = self.coppice("mount", "--write", base, self.mount)
        change(self.mount)
        committed = self.coppice("umount", self.mount, "--commit", f"c{self.number}")
        return opened, committed

    def touch_one(self, root):
        self.number += 1
        path = root / CHANGED
        path.unlink()
        path.write_text(f"{self.number} {time.time()}\n")

    def ours(self):
        """A turn of a tenth of a second is five, as those of the others are of seconds."""
        return sorted((Timed(*self.change(self.touch_one)) for _ in range(5)),
                      key=lambda turn: turn.wall)[2]

    def plain_copy(self):
        """cp -a of the base, a change, a digest over all of it."""
        self.number += 1
        copy = self.copies / f"copy-{self.number}"
        copied = Run(["cp", "-a", "--reflink=auto", self.tree, copy])
        self.touch_one(copy)
        hashed = Run(["python3", __file__, copy])
        return Timed(copied, hashed)

    def ostree(self):
        self.number += 1
        checkout = self.copies / f"checkout-{self.number}"
        repo = f"--repo={self.work / 'repo-views'}"
        out = Run(["ostree", "checkout", "-H", repo, "bench", checkout])
        self.touch_one(checkout)
        return Timed(out, Run(["ostree", "commit", repo, "--branch=next", f"--tree=dir={checkout}",
                               "--link-checkout-speedup"]))

    def make_repo(self):
        repo = self.work / "repo-views"
        remove(repo)
        Run(["ostree", "init", f"--repo={repo}", "--mode=bare"])
        Run(["ostree", "commit", f"--repo={repo}", "--branch=bench", f"--tree=dir={self.tree}"])

    def in_process(self):
        """{kept: seconds to open and commit, the median} of a program that uses the library."""
        done = {False: [], True: []}
        for line in Run([INPROCESS, self.store, "base", CHANGED, "9"]).out.splitlines():
            run = json.loads(line)
            done[run["kept"]].append((run["open"] + run["commit"]) / 1000)
        # The first of them probes, or has no tree to keep yet.
        return {kept: statistics.median(seconds[1:]) for kept, seconds in done.items()}

    def speed(self):
        opened, committed = [], []
        for _ in range(max(self.rounds, 5)):
            a, b = self.change(self.touch_one)
            opened.append(a)
            committed.append(b)
        self.make_repo()
        peers = rotate({"coppice": self.ours, "cp -a, digest of all": self.plain_copy,
                        "ostree checkout -H, commit": self.ostree}, self.rounds)
        both = median(peers["coppice"])
        inside = self.in_process()
        lines = ["| one file changed | s |", "|---|---|",
                 f"| coppice mount --write | {median(opened):.3f} |",
                 f"| coppice umount --commit | {median(committed):.3f} |"]
        lines += [f"| {name}, together | {median(runs):.3f} |" for name, runs in peers.items()]
        lines += [f"| the library in one process, a new Object each time | {inside[False]:.3f} |",
                  f"| the library in one process, one Object that goes on | {inside[True]:.3f} |"]
        lines += ["", "| what | reached | wanted |", "|---|---|---|",
                  f"| ready to write | {median(opened) * 1000:.0f} ms | at most 20 ms |",
                  f"| commit of one changed file | {median(committed) * 1000:.0f} ms | at most 150 ms |"]
        for name, wanted in (("cp -a, digest of all", 80), ("ostree checkout -H, commit", 10)):
            for what, seconds in (("two commands", both), ("one process, a new Object", inside[False]),
                                  ("one process, one Object", inside[True])):
                lines.append(f"| {name} / coppice, {what} | {median(peers[name]) / seconds:.0f} |"
                             f" at least {wanted} |")
        return lines

    def files_changed(self, number):
        def change(view):
            done = 0
            for here, _, files in os.walk(view / "usr"):
                for name in files:
                    path = os.path.join(here, name)
                    if done < number and stat.S_ISREG(os.lstat(path).st_mode):
                        with open(path, "ab") as file:
                            file.write(b"%d" % self.number)
                        done += 1
        return change

    def wide_base(self):
        """The base with a directory of 10,000 files in it."""
        def change(view):
            (view / "wide").mkdir()
            for i in range(10000):
                (view / "wide" / f"file-{i}").write_text(f"a file of some length, number {i:064}\n")
        self.change(change)
        return f"c{self.number}"

    def costs(self):
        wide = self.wide_base()
        work = [(f"{n:,} files changed", self.files_changed(n), "base") for n in (1, 100, 10000)]
        work += [("chown -R of everything",
                  lambda view: subprocess.run(["chown", "-R", "12:34", view], check=True), "base"),
                 ("a directory of 10,000 files renamed",
                  lambda view: (view / "wide").rename(view / "renamed"), wide)]
        lines = ["", "| change | commit s | on disk in the upper directory's files, xattrs included |", "|---|---|---|"]
        for name, change, base in work:
            kept = []

            def look(view, change=change, kept=kept):
                change(view)
                kept.append(self.upper_bytes())
            _, committed = self.change(look, base)
            lines.append(f"| {name} | {committed.wall:.3f} | {kept[0]:,} |")
        return lines

    def upper_bytes(self):
        """What the changed files of the one view take."""
        subprocess.run(["sync", "-f", self.store], check=True)
        return sum(info.st_blocks * 512
                   for upper in (self.store / "views").glob("*/upper")
                   for here, _, files in os.walk(upper)
                   for info in [os.lstat(os.path.join(here, name)) for name in files]
                   if stat.S_ISREG(info.st_mode))

    def by_entries(self):
        lines = ["", "| entries | ready to write s | commit of one changed file s |", "|---|---|---|"]
        for number in (1000, None, 1000000):
            if number:
                name = f"entries-{number}"
                tree = many_files(self.work, number)
                self.coppice("commit", tree, name)
                changed = lambda view: (view / "one").write_text(str(time.time()))
            else:
                name, changed, tree = "base", self.touch_one, self.tree
            runs = [self.change(changed, name) for _ in range(3)]
            lines.append(f"| {count(tree)[0]:,} | {median([a for a, _ in runs]):.3f} |"
                         f" {median([b for _, b in runs]):.3f} |")
        return lines

    def disk(self):
        """What a checkpoint adds to the store."""
        sync()
        before = disk_use(self.store)
        self.change(self.touch_one)
        sync()
        added = disk_use(self.store) - before
        entries, _ = count(self.tree)
        changed = 4096
        return ["", "| disk | reached | wanted |", "|---|---|---|",
                f"| a checkpoint without its changed file, bytes per entry | "
                f"{(added - changed) / entries:.0f} | at most 260 |"]

    def reading(self):
        self.coppice("mount", "base", self.mount)
        rows = []
        try:
            for name, cold, work, wanted in (
                    ("stat of everything, warm", False, walk_stat, 1.3),
                    ("stat of everything, cold", True, walk_stat, 1.3),
                    ("read 1 GB in files of 1 MiB or more",
                     False, lambda t: read_files(t, lambda s: s >= LARGE), 1.3),
                    ("read small files", False, lambda t: read_files(t, lambda s: s < LARGE), 1.4)):
                seconds = {self.tree: [], self.mount: []}
                for place in seconds:
                    work(place)
                for _ in range(max(self.rounds, 7 if cold else 15)):
                    for place, results in seconds.items():
                        if cold:
                            drop_caches(3)
                        results.append(timed(work, place))
                plain, view = (statistics.median(r) for r in seconds.values())
                rows.append(f"| {name} | {plain:.2f} | {view:.2f} | {view / plain:.2f} | {wanted} |")
        finally:
            self.coppice("umount", self.mount)
        return ["", "| through a read view | directory s | view s | ratio | wanted |",
                "|---|---|---|---|---|", *rows]

    def table(self):
        entries, size = count(self.tree)
        lines = [f"{entries} entries, {size / 1e9:.2f} GB; commands of their own, start included", ""]
        lines += self.speed() + self.costs() + self.by_entries() + self.disk() + self.reading()
        remove(self.copies)
        return "Views", lines


def main():
    import sys
    digest = hashlib.sha256()
    hash_tree(pathlib.Path(sys.argv[1]), digest)
    print(digest.hexdigest())


if __name__ == "__main__":
    main()
