# SPDX-License-Identifier: Apache-2.0
"""A Debian minbase from local packages, against mmdebstrap."""
import json
import shutil
import subprocess
import time

from measure import COPPICE, TOP, Group, Run, median, ratio, remove, rotate, sync


class Minbase:
    """coppice against mmdebstrap, minbase, from the same local packages."""

    name = "minbase"

    def __init__(self, work, rounds):
        self.work, self.rounds = work, rounds
        self.recipe = work / f"{self.name}.yaml"
        self.sources = work / f"store-{self.name}"
        shutil.copy(TOP / "bench" / f"{self.name}.yaml", self.recipe)
        Run([COPPICE, "--store", self.sources, "lock", self.recipe])
        self.repository = work / f"repository-{self.name}"
        self.make_repository()
        self.number = 0
        self.clean()

    def clean(self):
        """Take away what an earlier run left, and wait until ext4 has forgotten it."""
        self.built = self.work / f"rounds-{self.name}"
        if self.built.exists():
            remove(self.built)
            sync()
            time.sleep(65)
        self.built.mkdir()

    def fresh(self, kind):
        """A place that was never there; all go at the end."""
        self.number += 1
        return self.built / f"{kind}-{self.number}"

    def make_repository(self):
        """A flat repository of just these packages, as mmdebstrap wants one."""
        remove(self.repository)
        self.repository.mkdir()
        for package in (self.sources / "sources" / "org.osbuild.files").iterdir():
            fields = subprocess.run(["dpkg-deb", "-f", package, "Package", "Version", "Architecture"],
                                    check=True, capture_output=True, text=True).stdout
            values = dict(line.split(": ", 1) for line in fields.splitlines())
            version = values["Version"].replace(":", "%3a")
            name = f"{values['Package']}_{version}_{values['Architecture']}.deb"
            shutil.copy(package, self.repository / name)
        script = ("apt-ftparchive packages . > Packages && apt-ftparchive"
                  " -o APT::FTPArchive::Release::Codename=trixie release . > Release.new"
                  " && mv Release.new Release")
        subprocess.run(script, shell=True, check=True, cwd=self.repository)

    def coppice(self):
        """Into a store that has the packages and nothing else, commit included."""
        store = self.fresh("store")
        Run([COPPICE, "--store", store, "init"])
        Run(["cp", "-al", self.sources / "sources" / "org.osbuild.files", store / "sources/"])
        return Run([COPPICE, "-q", "--store", store, "build", self.work / f"{self.name}.json"])

    def mmdebstrap(self):
        return Run(["mmdebstrap", "--variant=minbase", "--quiet", "trixie", self.fresh("mmdebstrap"),
                    f"deb [trusted=yes] copy:{self.repository} ./"])

    def take_manifest(self):
        """The tree alone, without an archive of it."""
        manifest = Run([COPPICE, "--store", self.sources, "manifest", self.recipe]).out
        document = json.loads(manifest)
        document["pipelines"] = [p for p in document["pipelines"] if p["name"] == "tree"]
        (self.work / f"{self.name}.json").write_text(json.dumps(document))

    def table(self):
        self.take_manifest()
        results = rotate({"coppice build (tree, committed)": self.coppice,
                          "mmdebstrap --variant=minbase": self.mmdebstrap}, self.rounds)
        lines = ["| what | wall s | CPU s |", "|---|---|---|"]
        for name, runs in results.items():
            lines.append(f"| {name} | {median(runs):.2f} | {median(runs, 'cpu'):.2f} |")
        ours, theirs = results.values()
        lines += ["", "| ratio | reached | wanted |", "|---|---|---|",
                  ratio("coppice / mmdebstrap, wall", median(ours) / median(theirs), 0.9),
                  ratio("coppice / mmdebstrap, CPU",
                        median(ours, "cpu") / median(theirs, "cpu"), "")]
        if not Group.counts:
            lines += ["", "Without a control group: what runs in a process namespace is not in its CPU time."]
        return "Debian minbase from local packages", lines
