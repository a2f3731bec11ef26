# SPDX-License-Identifier: Apache-2.0
"""A bootable tree of some 200 packages against mmdebstrap, the disk on top of it, and what a
change costs.  The packages are there; only `build` is measured, with a lock that is there."""
import json
import re

from measure import COPPICE, Group, Run, median, ratio, remove, rotate
from minbase import Minbase


class Image(Minbase):
    name = "image"

    def __init__(self, work, rounds):
        super().__init__(work, rounds)
        self.store = None

    def mmdebstrap(self):
        lock = self.recipe.with_suffix(".yaml.lock").read_text()
        packages = re.findall(r"^package (?!base |build )\S+ (\S+) ", lock, re.M)
        return Run(["mmdebstrap", "--variant=minbase", "--quiet",
                    f"--include={','.join(packages)}", "trixie", self.fresh("mmdebstrap"),
                    f"deb [trusted=yes] copy:{self.repository} ./"])

    def build(self, recipe, only=None):
        """Into the store of the disks; @only one pipeline."""
        manifest = json.loads(Run([COPPICE, "--store", self.store, "manifest", recipe]).out)
        if only:
            manifest["pipelines"] = [p for p in manifest["pipelines"] if p["name"] in only]
        path = self.work / "image-now.json"
        path.write_text(json.dumps(manifest))
        return Run([COPPICE, "-q", "--store", self.store, "build", path])

    def changed(self, old, new):
        """The recipe with @old replaced, locked, its packages fetched."""
        self.number += 1
        path = self.work / f"image-{self.number}.yaml"
        path.write_text(self.recipe.read_text().replace(old, new))
        path.with_suffix(".yaml.lock").write_bytes(
            self.recipe.with_suffix(".yaml.lock").read_bytes())
        Run([COPPICE, "--store", self.store, "lock", path])
        return path

    def steps(self):
        """One round of changes, on a store that has the tree and the tools."""
        self.store = self.fresh("store-disk")
        Run([COPPICE, "--store", self.store, "init"])
        (self.store / "sources").mkdir(exist_ok=True)
        Run(["cp", "-al", self.sources / "sources" / "org.osbuild.files",
             self.store / "sources/"])
        self.build(self.recipe, ("build", "tree"))
        renamed = self.changed("hostname: bench", f"hostname: bench{self.number}")
        larger = self.changed("late: [nano]", "late: [nano, htop]")
        return {"disk of a tree that is there": (self.build(self.recipe), 6),
                "another host name, to the disk": (self.build(renamed), 5),
                "a package more in the last group, to the tree":
                    (self.build(larger, ("tree",)), 5)}

    def table(self):
        self.take_manifest()
        results = rotate({"coppice build (tree, committed)": self.coppice,
                          "mmdebstrap --variant=minbase --include=...": self.mmdebstrap},
                         self.rounds)
        lines = ["| what | wall s | CPU s |", "|---|---|---|"]
        for name, runs in results.items():
            lines.append(f"| {name} | {median(runs):.2f} | {median(runs, 'cpu'):.2f} |")
        rounds = [self.steps() for _ in range(self.rounds)]
        remove(self.built)
        lines += ["", "| after that | wall s | wanted | CPU s |", "|---|---|---|---|"]
        for name, (_, wanted) in rounds[0].items():
            runs = [one[name][0] for one in rounds]
            lines.append(f"| {name} | {median(runs):.2f} | {wanted} | "
                         f"{median(runs, 'cpu'):.2f} |")
        ours, theirs = results.values()
        lines += ["", "| ratio | reached | wanted |", "|---|---|---|",
                  ratio("coppice / mmdebstrap, wall", median(ours) / median(theirs), 0.9),
                  ratio("coppice / mmdebstrap, CPU",
                        median(ours, "cpu") / median(theirs, "cpu"), "")]
        if not Group.counts:
            lines += ["", "Without a control group: what runs in a process namespace is not "
                      "in its CPU time."]
        return "Debian image from local packages", lines
