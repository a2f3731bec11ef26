#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""crowd.py [--seconds S] [--seed S]: 8 writers, 2 collectors, 2 readers and a killer in one
store.  No commit that said 0 is lost, no reader sees anything but whole trees, and what the
killed leave behind is gone in the end."""
import argparse
import hashlib
import os
import random
import subprocess
import sys
import threading
import time

import lab

WRITERS, COLLECTORS, READERS = 8, 2, 2


class Crowd:
    def __init__(self, top, seed, seconds):
        self.store = top / "store"
        self.seed, self.end = seed, time.monotonic() + seconds
        self.lock = threading.Lock()
        self.running = set()
        self.counts = {}
        self.complaints = []
        self.known = {}  # name -> digests of which it may have one
        self.trees = []
        for number in range(30):
            tree = lab.make_tree(top / f"tree-{number}", number, n_files=8)
            digest = lab.out(top / "elsewhere", "commit", tree, "x")
            text = lab.run(top / "elsewhere", "export", "x", "-").stdout
            self.trees.append((tree, digest, hashlib.sha256(text).hexdigest()))
        self.hashes = {entry[2] for entry in self.trees}
        lab.run(self.store, "init")

    def count(self, what):
        with self.lock:
            self.counts[what] = self.counts.get(what, 0) + 1

    def complain(self, text):
        with self.lock:
            self.complaints.append(text)

    def coppice(self, *args):
        process = subprocess.Popen([lab.COPPICE, "--store", self.store, *map(str, args)],
                                   stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                   env={**os.environ, "ASAN_OPTIONS": "detect_leaks=0"})
        with self.lock:
            self.running.add(process)
        out, err = process.communicate()
        with self.lock:
            self.running.discard(process)
        if process.returncode not in (0, -9):
            self.complain(f"{args}: {process.returncode}: {err.decode(errors='replace')}")
        if process.returncode == -9:
            self.count("killed")
        return process.returncode, out

    def writer(self, number):
        rng = random.Random(f"{self.seed} writer {number}")
        k = 0
        while time.monotonic() < self.end:
            tree, digest, _ = rng.choice(self.trees)
            # Names of our own, and now and then the next one, so that the crowd grows.
            k += rng.random() < 0.3
            name = f"writer-{number}/{k}"
            self.known[name] = self.known.get(name, {None}) | {digest}
            status, out = self.coppice("commit", tree, name)
            if status == 0:
                self.known[name] = {digest}
                self.count("commits")
                if out.decode().strip() != digest:
                    self.complain(f"commit to {name} gave {out!r}")

    def collector(self, number):
        rng = random.Random(f"{self.seed} collector {number}")
        while time.monotonic() < self.end:
            self.coppice("gc")
            self.count("collections")
            # Names that go make garbage.
            for name in rng.sample(sorted(self.known), min(3, len(self.known))):
                if rng.random() < 0.5 and number == 0 and len(self.known[name]) == 1 and \
                        None not in self.known[name] and not self.is_current(name):
                    self.known[name] = self.known[name] | {None}
                    if self.coppice("ref", "rm", name)[0] == 0:
                        self.known[name] = {None}

    def is_current(self, name):
        """A writer may still write to it."""
        writer, k = name.split("/")
        return f"{writer}/{int(k) + 1}" not in self.known

    def reader(self, number):
        rng = random.Random(f"{self.seed} reader {number}")
        while time.monotonic() < self.end:
            names = [name for name, digests in list(self.known.items())
                     if len(digests) == 1 and None not in digests and self.is_current(name)]
            if not names:
                continue
            name = rng.choice(names)
            status, out = self.coppice("export", name, "-")
            if status == 0:
                self.count("reads")
                if hashlib.sha256(out).hexdigest() not in self.hashes:
                    self.complain(f"{name} was read as something that nobody wrote")

    def killer(self):
        rng = random.Random(f"{self.seed} killer")
        while time.monotonic() < self.end:
            time.sleep(rng.random() * 0.1)
            with self.lock:
                victims = list(self.running)
            if victims:
                rng.choice(victims).kill()

    def live(self):
        threads = [threading.Thread(target=self.guard, args=(self.writer, n)) for n in range(WRITERS)]
        threads += [threading.Thread(target=self.guard, args=(self.collector, n)) for n in range(COLLECTORS)]
        threads += [threading.Thread(target=self.guard, args=(self.reader, n)) for n in range(READERS)]
        threads.append(threading.Thread(target=self.guard, args=(self.killer,)))
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    def guard(self, function, *args):
        try:
            function(*args)
        except Exception as problem:  # noqa: BLE001 - a thread must not die in silence
            self.complain(f"{function.__name__}: {problem!r}")

    def check(self):
        found = lab.refs(self.store)
        for name, digests in self.known.items():
            if found.get("name/" + name) not in digests:
                raise lab.Violation(f"{name} is {found.get('name/' + name)}, not one of {digests}")
        lab.judge(self.store)
        lab.run(self.store, "gc")
        lab.judge(self.store, complete=True)
        if os.listdir(self.store / "tmp"):
            raise lab.Violation(f"left in tmp: {os.listdir(self.store / 'tmp')}")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--seconds", type=float, default=10)
    parser.add_argument("--seed", type=int, default=int(os.environ.get("COPPICE_SEED", "1")))
    args = parser.parse_args()
    report = lab.Report("crowd", args.seed)
    crowd = Crowd(lab.scratch("crowd"), args.seed, args.seconds)
    crowd.live()
    try:
        crowd.check()
    except lab.Violation as problem:
        report.violation("at the end", str(problem))
    for text in crowd.complaints:
        report.violation("on the way", text)
    for what, n in sorted(crowd.counts.items()):
        report.count(what, n)
    return report.end()


if __name__ == "__main__":
    sys.exit(main())
