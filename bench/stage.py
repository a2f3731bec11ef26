# SPDX-License-Identifier: Apache-2.0
"""What a stage costs beside its work: the slope between manifests of 10 and of 110 of them.

With and without a checkpoint after each, on an empty tree and on a small one; the peer is the
sandbox program alone, with a whole argument list and a static program that does nothing.
"""
import json
import os
import pathlib
import statistics

from measure import COPPICE, Run, ratio, remove, rotate

FEW, MANY = 10, 110
LIBDIR = pathlib.Path(os.environ.get("COPPICE_LIBDIR", COPPICE.parent / "libdir"))
SMALL = {"type": "org.osbuild.mkdir", "options": {"paths": [{"path": f"/{a}/{b}", "parents": True}
                                                             for a in range(10) for b in range(20)]}}


class Stage:
    """Stages that do nothing: at most 40 ms each, 60 with a checkpoint."""

    def __init__(self, work, rounds):
        self.work, self.rounds = work, rounds
        self.number = 0

    def manifest(self, n, first=()):
        path = self.work / f"noop-{n}-{len(first)}.json"
        stages = [*first, *({"type": "org.osbuild.noop", "options": {"n": i}} for i in range(n))]
        path.write_text(json.dumps({"version": "2", "pipelines": [
            {"name": "tree", "source-epoch": 1, "stages": stages}]}))
        return path

    def build(self, n, policy, first=()):
        """Each in a store of its own, so that nothing is served from one."""
        def run():
            self.number += 1
            store = self.work / f"store-stage-{self.number}"
            remove(store)
            return Run([COPPICE, "-q", "--store", store, "build", self.manifest(n, first), "--checkpoint", policy])
        return run

    def sandbox(self, n):
        noop = (LIBDIR / "stages" / "org.osbuild.noop").resolve()
        one = ("bwrap --new-session --die-with-parent --unshare-ipc --unshare-pid --unshare-net --unshare-uts "
               "--cap-drop ALL --ro-bind /usr /usr --symlink usr/lib /lib --symlink usr/lib64 /lib64 --dev /dev "
               f"--tmpfs /run --tmpfs /tmp --proc /proc --ro-bind /sys /sys --ro-bind {noop} /noop /noop || true")
        return lambda: Run(["sh", "-c", f"for i in $(seq {n}); do {one}; done >/dev/null 2>&1"])

    def table(self):
        kinds = {"nothing kept": ("none", ()), "nothing kept, 210 entries": ("none", (SMALL,)),
                 "each kept": ("all", ()), "each kept, 210 entries": ("all", (SMALL,))}
        contestants = {(name, n): self.build(n, *how) for name, how in kinds.items() for n in (FEW, MANY)}
        contestants |= {("the sandbox alone", n): self.sandbox(n) for n in (FEW, MANY)}
        results = rotate(contestants, self.rounds)
        slopes = {}
        lines = ["| a stage that does nothing | ms |", "|---|---|"]
        for name in [*kinds, "the sandbox alone"]:
            slopes[name] = statistics.median(
                (many.wall - few.wall) / (MANY - FEW) * 1000
                for few, many in zip(results[name, FEW], results[name, MANY]))
            lines.append(f"| {name} | {slopes[name]:.1f} |")
        lines += ["", "| claim | reached | at most |", "|---|---|---|",
                  ratio("a stage that does nothing, ms", slopes["nothing kept, 210 entries"], 40),
                  ratio("the same with a checkpoint, ms", slopes["each kept, 210 entries"], 60)]
        return "A stage that does nothing", lines
