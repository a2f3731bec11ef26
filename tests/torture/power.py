#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""power.py [--cuts N] [--seconds S] [--seed S] [--file-system ext4|xfs|btrfs]... [--exports P]

The power fails at any time while trees are committed and garbage is collected, and another
process forces the journal, so that names reach the disk before contents that nobody waited
for.  ext4 and xfs are shut down by the ioctl that drops what is not in their journal; btrfs
has none, so the image is copied as it is on disk at that time.  Mounted again it is judged:
every commit that said 0 is there and whole, every other is there as a whole or not at all;
and so is a store that was made, and an archive that was written.
"""
import argparse
import array
import fcntl
import hashlib
import os
import pathlib
import random
import signal
import subprocess
import sys
import threading
import time

import lab

SHUTDOWN, NO_LOG_FLUSH = 0x8004587D, 2
MAKE = {"ext4": ["mkfs.ext4", "-q", "-F"], "xfs": ["mkfs.xfs", "-q", "-f"], "btrfs": ["mkfs.btrfs", "-q", "-f"]}
SIZE = {"ext4": 96 << 20, "xfs": 320 << 20, "btrfs": 256 << 20}
NAMES = ["a", "b", "dir/c", "dir/d"]


class Disk:
    def __init__(self, top, kind):
        self.kind, self.image, self.path = kind, top / f"{kind}.img", top / kind
        self.path.mkdir()
        with open(self.image, "wb") as file:
            file.truncate(SIZE[kind])
        subprocess.run([*MAKE[kind], self.image], check=True, capture_output=True)

    def mount(self):
        subprocess.run(["mount", "-t", self.kind, "-o", "loop", self.image, self.path], check=True,
                       capture_output=True)

    def take_cut(self):
        """What was copied is the disk from now on."""
        if self.kind == "btrfs":
            os.rename(self.image.with_suffix(".after"), self.image)

    def unmount(self):
        for _ in range(100):
            if subprocess.run(["umount", self.path], check=False, capture_output=True).returncode == 0:
                return
            time.sleep(0.05)
        raise lab.Violation("the file system stays busy")

    def cut(self):
        if self.kind == "btrfs":
            after = self.image.with_suffix(".after")
            subprocess.run(["cp", "--sparse=always", "--reflink=auto", self.image, after], check=True)
            return
        fd = os.open(self.path, os.O_RDONLY)
        fcntl.ioctl(fd, SHUTDOWN, array.array("I", [NO_LOG_FLUSH]))
        os.close(fd)


class Life:
    """From one mount to the cut."""

    def __init__(self, disk, trees, known, rng, exports):
        self.disk, self.trees, self.rng, self.exports = disk, trees, rng, exports
        self.store = disk.path / "store"
        self.known = known  # name -> digests of which it may have one
        self.off, self.still = threading.Event(), threading.Event()
        self.is_made = (self.store / "format").exists()
        self.n_commits = 0
        self.processes = set()

    def coppice(self, *args):
        if self.off.is_set():
            return 1
        process = subprocess.Popen([lab.COPPICE, "--store", self.store, *map(str, args)],
                                   stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.processes.add(process)
        status = process.wait()
        self.processes.discard(process)
        return status

    def commits(self):
        rng = random.Random(self.rng.random())
        if not self.is_made:
            self.is_made = self.coppice("init") == 0
        while not self.off.is_set():
            name, (tree, digest) = rng.choice(NAMES), rng.choice(self.trees)
            if rng.random() < 0.2:
                self.coppice("gc")
                continue
            if rng.random() < self.exports and len(self.known[name]) == 1 and None not in self.known[name]:
                # A new name each time: ext4 takes care of what replaces a file.
                out = f"out-{rng.randrange(1 << 32)}.tar"
                self.coppice("export", name, self.disk.path / out, "--format", "tar")
                continue
            self.known[name] = self.known[name] | {digest}
            if self.coppice("commit", tree, name) == 0 and not self.off.is_set():
                # Nobody else writes names, so this one is it.
                self.known[name] = {digest}
                self.n_commits += 1

    def noise(self):
        try:
            with open(self.disk.path / "noise", "wb", buffering=0) as file:
                while not self.still.is_set():
                    file.write(os.urandom(8))
                    file.seek(0)
                    os.fsync(file)
        except OSError:
            pass  # the power is off

    def live(self):
        threads = [threading.Thread(target=self.commits)]
        if self.rng.random() < 0.8:
            threads.append(threading.Thread(target=self.noise))
        for thread in threads:
            thread.start()
        time.sleep(self.rng.random() ** 2 * 0.4)
        # From here on a 0 counts for nothing: xfs lets the fsync of a directory succeed that
        # waits while it is shut down.  And what is true when a copy begins must be in it.
        self.off.set()
        known, made = {name: set(digests) for name, digests in self.known.items()}, self.is_made
        if self.disk.kind == "btrfs":
            for process in list(self.processes):
                process.send_signal(signal.SIGSTOP)
            self.still.set()
            for thread in threads[1:]:
                thread.join()
        self.disk.cut()
        self.still.set()
        for process in list(self.processes):
            process.kill()
        for thread in threads:
            thread.join()
        self.known.update(known)
        self.is_made = made


def check(disk, known, is_made, archives):
    store = disk.path / "store"
    for archive in disk.path.glob("out-*.tar"):
        if hashlib.sha256(archive.read_bytes()).hexdigest() not in archives:
            raise lab.Violation(f"half an archive has its final name ({archive.stat().st_size} bytes)")
        archive.unlink()
    for left in disk.path.glob(".tmp-*"):
        left.unlink()
    if not (store / "format").exists():
        if is_made or any(None not in digests for digests in known.values()):
            raise lab.Violation("the store is gone")
        return
    lab.judge(store)
    refs = lab.refs(store)
    for name, digests in known.items():
        if refs.get("name/" + name) not in digests:
            raise lab.Violation(f"{name} is {refs.get('name/' + name)}, not one of {digests}")
    lab.run(store, "gc")
    lab.judge(store, complete=True)
    now = lab.refs(store)
    if now != refs:
        raise lab.Violation("the first command after the cut changed a name")
    for name in known:
        known[name] = {refs.get("name/" + name)}


def torture(top, kind, seed, cuts, seconds, exports):
    """(cuts, commits, violations)"""
    rng = random.Random(f"{seed} {kind}")
    trees, archives = [], set()
    for number in range(10):
        tree = lab.make_tree(top / f"tree-{number}", number, n_files=rng.randrange(3, 40))
        trees.append((tree, lab.out(top / "elsewhere", "commit", tree, "x")))
        archives.add(hashlib.sha256(lab.run(top / "elsewhere", "export", "x", "-").stdout).hexdigest())
    disk = Disk(top, kind)
    known = {name: {None} for name in NAMES}
    deadline = time.monotonic() + seconds
    n = commits = 0
    violations = []
    while n < cuts and time.monotonic() < deadline and not violations:
        disk.mount()
        if rng.random() < 0.2:
            lab.remove(disk.path / "store")
            known = {name: {None} for name in NAMES}
            subprocess.run(["sync", "-f", disk.path], check=True)
        life = Life(disk, trees, known, rng, exports)
        life.live()
        disk.unmount()
        disk.take_cut()
        disk.mount()
        try:
            check(disk, known, life.is_made, archives)
        except lab.Violation as problem:
            violations.append((f"{kind}, cut {n}", str(problem)))
        disk.unmount()
        n += 1
        commits += life.n_commits
    return kind, n, commits, violations


def one(args):
    return torture(*args)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--cuts", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=3600)
    parser.add_argument("--seed", type=int, default=int(os.environ.get("COPPICE_SEED", "1")))
    parser.add_argument("--exports", type=float, default=0.2, help="their share, 0 to 1")
    parser.add_argument("--file-system", action="append", choices=sorted(MAKE))
    args = parser.parse_args()
    if not lab.own_mounts():
        lab.skip("cutting the power needs root")
    kinds = args.file_system or sorted(MAKE)
    probe = Disk(lab.scratch("probe"), kinds[0])
    try:
        probe.mount()
        probe.unmount()
    except subprocess.CalledProcessError as problem:
        lab.skip(f"no loop devices: {problem.stderr.decode().strip()}")
    report = lab.Report("power", args.seed)
    work = [(lab.scratch("power"), kind, args.seed, args.cuts // len(kinds), args.seconds, args.exports) for kind in kinds]
    for kind, cuts, commits, violations in lab.in_parallel(one, work, len(work)):
        report.count(f"cuts on {kind}", cuts)
        report.count("commits that said 0", commits)
        for where, what in violations:
            report.violation(where, what)
    return report.end()


if __name__ == "__main__":
    sys.exit(main())
