# SPDX-License-Identifier: Apache-2.0
"""The commit of a directory, against cp, ostree and openssl; and its memory at a million entries."""
import time

from measure import (COPPICE, Run, copy_synced, count, disk_speed, median, memory_row, peak_memory, prepare,
                     ratio, remove, rotate, sync)
from trees import debian_tree, many_files


class Commit:
    def __init__(self, work, rounds):
        self.work, self.rounds = work, rounds
        self.tree = debian_tree(work)
        self.store = None
        self.number = 0
        self.clean()

    def clean(self):
        """Take away what an earlier run left, and wait until ext4 has forgotten it."""
        if (self.work / "rounds").exists():
            remove(self.work / "rounds")
            sync()
            time.sleep(65)

    def fresh(self, kind):
        """A directory that was never there; all go at the end."""
        prepare(self.tree)
        self.number += 1
        path = self.work / "rounds" / f"{kind}-{self.number}"
        path.parent.mkdir(exist_ok=True)
        return path

    def coppice_first(self):
        self.store = self.fresh("store")
        return Run([COPPICE, "-q", "--store", self.store, "commit", self.tree, "bench"])

    def coppice_again(self):
        return Run([COPPICE, "-q", "--store", self.store, "commit", self.tree, "bench"])

    def copy(self):
        return copy_synced(self.tree, self.fresh("copy"))

    def ostree(self):
        repo = self.fresh("ostree")
        Run(["ostree", "init", f"--repo={repo}", "--mode=bare"])
        return Run(["ostree", "commit", f"--repo={repo}", "--branch=bench",
                    f"--tree=dir={self.tree}"])

    def openssl(self):
        """The same files, hashed by two processes."""
        return Run(["sh", "-c", 'find "$0" -xdev -type f -print0 |'
                    " xargs -0 -P 2 -n 500 openssl dgst -sha256 >/dev/null", self.tree])

    def table(self):
        entries, size = count(self.tree)
        speed = disk_speed(self.work)
        print(f"commit: {entries} entries, {size / 1e9:.2f} GB, disk {speed:.0f} MiB/s")
        results = rotate({"coppice commit, empty store": self.coppice_first,
                          "cp -a && sync -f": self.copy,
                          "ostree commit, bare": self.ostree}, self.rounds)
        self.coppice_first()
        again = rotate({"coppice commit, unchanged": self.coppice_again,
                        "openssl dgst -sha256, 2 processes": self.openssl}, self.rounds)
        first = median(results["coppice commit, empty store"])
        peak = peak_memory([COPPICE, "-q", "--store", self.store, "commit", self.tree, "bench"])
        lines = [f"{entries} entries, {size / 1e9:.2f} GB, raw disk {speed:.0f} MiB/s", "",
                 "| what | wall s | CPU s |", "|---|---|---|"]
        for name, runs in {**results, **again}.items():
            lines.append(f"| {name} | {median(runs):.2f} | {median(runs, 'cpu'):.2f} |")
        names = list(results)
        lines += ["", "| ratio | reached | wanted |", "|---|---|---|",
                  ratio("empty store / cp -a and sync", first / median(results[names[1]]), 0.6),
                  ratio("empty store / ostree commit", first / median(results[names[2]]), 0.3),
                  ratio("unchanged / openssl", median(again["coppice commit, unchanged"]) /
                        median(again["openssl dgst -sha256, 2 processes"]), 2.0),
                  memory_row(peak, entries)]
        return "Commit of a directory", lines


class Million:
    """A million entries: only the memory and the time of one commit."""

    def __init__(self, work, rounds):
        del rounds
        self.work = work

    def table(self):
        tree = many_files(self.work, 1000000)
        store = self.work / "store-million"
        remove(store)
        command = [COPPICE, "-q", "--store", store, "commit", tree, "bench"]
        start = time.monotonic()
        peak = peak_memory(command)
        wall = time.monotonic() - start
        entries, _ = count(tree)
        return "A million entries", ["| what | reached | wanted |", "|---|---|---|",
                                     memory_row(peak, entries),
                                     f"| commit into an empty store | {wall:.1f} s | |"]
