# SPDX-License-Identifier: Apache-2.0
"""Sharing a large tree through S3: the Ceph gateway on the loopback, its data in memory."""
import json
import os
import shlex
import subprocess
import sys
import time

from measure import COPPICE, TOP, Run, copy_synced, count, median, remove, sync
from trees import debian_tree

PORT = 7480
# The same bytes by curl, as many connections at once as coppice opens.
CURL_PARALLEL = 6


class Remote:
    """Push, push of a change, pull; and curl for the bytes that the pull has to fetch."""

    def __init__(self, work, rounds):
        # All that is written goes in the end: what is deleted while we measure makes every new
        # inode of ext4 dear.
        self.trees, self.work, self.rounds = work, work / "remote-rounds", rounds
        self.rows = []

    def coppice(self, store, *args):
        """The command's cost, and what it says in JSON."""
        run = Run([COPPICE, "--store", self.work / store, "--json", *args], env=self.environment)
        return run, json.loads(run.out) if run.out.startswith(("{", "[")) else {}

    def curl(self, *args):
        return ["curl", "-s", "-f", "--aws-sigv4", "aws:amz:default:s3", "--user",
                f"{self.environment['AWS_ACCESS_KEY_ID']}:{self.environment['AWS_SECRET_ACCESS_KEY']}",
                "-H", "x-amz-content-sha256: UNSIGNED-PAYLOAD", *args]

    def row(self, what, value, wanted=""):
        self.rows.append(f"| {what} | {value} | {wanted} |")

    def table(self):
        if self.work.exists():
            remove(self.work)
            sync()
            time.sleep(65)
        self.work.mkdir()
        ceph = self.work / "ceph"
        started = subprocess.run([TOP / "tools" / "ceph-up", ceph, str(PORT)], check=False)
        if started.returncode:
            sys.exit("bench: Ceph does not start (tools/install-packages ceph)")
        try:
            lines = (ceph / "env").read_text().split()
            self.environment = {**os.environ, **dict(line.split("=", 1) for line in lines)}
            self.endpoint = self.environment["AWS_ENDPOINT_URL"]
            self.measure()
        finally:
            subprocess.run([TOP / "tools" / "ceph-down", ceph], check=True)
            remove(self.work)
        return ("sharing a tree through S3 (Ceph gateway, loopback)",
                ["| what | measured | wanted |", "|---|---|---|", *self.rows])

    def prepare(self):
        """Stores with the tree, and with the tree after one package more."""
        self.tree = tree = debian_tree(self.trees)
        self.entries, self.size = count(tree)
        self.coppice("remote-a", "commit", tree, "tree")
        changed = self.work / "tree-changed"
        subprocess.run(["cp", "-a", "--reflink=auto", tree, changed], check=True)
        package = min((self.trees / "store-packages" / "sources" / "org.osbuild.files").iterdir(),
                      key=lambda path: (abs(path.stat().st_size - 300_000), path.name))
        folder = changed / "opt" / "one-more"
        folder.mkdir(parents=True)
        Run(["dpkg-deb", "-x", package, folder])
        for path in folder.rglob("*"):
            if path.is_file() and not path.is_symlink():
                # Its files are new: another byte at the end of each.
                with open(path, "ab") as file:
                    file.write(b"\n")
        self.changed_bytes = count(folder)[1]
        self.coppice("remote-a", "commit", changed, "changed")
        subprocess.run(self.curl("-X", "PUT", f"{self.endpoint}/bench"), check=True,
                       stdout=subprocess.DEVNULL)
        self.coppice("remote-a", "remote", "add", "s3", "s3://bench/cache")

    def build(self):
        """What one store has built another exports, and runs nothing for it."""
        manifest = self.work / "remote-manifest.json"
        manifest.write_text(json.dumps({"version": "2", "pipelines": [
            {"name": "tree", "source-epoch": 1_700_000_000, "stages": [
                {"type": "org.osbuild.mkdir", "options": {"paths": [{"path": f"/{name}"}]}}
                for name in "abcde"]}]}))
        for store in ("remote-builder", "remote-empty"):
            self.coppice(store, "remote", "add", "s3", "s3://bench/cache")
        build = ["build", manifest, "--checkpoint", "all", "--remote", "s3"]
        Run([COPPICE, "--store", self.work / "remote-builder", *build], env=self.environment)
        out = self.work / "remote-out"
        start = time.monotonic()
        said = subprocess.run([COPPICE, "--store", self.work / "remote-empty", *build, "--export",
                               "tree", "--output-directory", out], env=self.environment, check=True,
                              capture_output=True, text=True).stderr
        wall = time.monotonic() - start
        if sorted(path.name for path in (out / "tree").iterdir()) != list("abcde"):
            sys.exit("bench: what was exported is not what was built")
        self.row("build into an empty store, all 5 stages on the remote",
                 f"{wall:.1f} s, {said.count(' ran ')} stages run", "0 stages run")

    def packs(self):
        """The keys of everything below v1/p."""
        index = self.work / "remote-a" / "remotes" / "s3" / "journal"
        assert not index.exists() or not list(index.iterdir())
        text = subprocess.run(self.curl(
            f"{self.endpoint}/bench?list-type=2&prefix=cache%2Fv1%2Fp%2F"), check=True,
            capture_output=True, text=True).stdout
        return [part.split("<")[0] for part in text.split("<Key>")[1:]]

    def download(self, keys, folder):
        folder.mkdir()
        urls = []
        for number, key in enumerate(keys):
            urls += [f"{self.endpoint}/bench/{key}", "-o", folder / str(number)]
        return Run(self.curl("--parallel", "--parallel-max", str(CURL_PARALLEL), *urls))

    def archive(self):
        """What one would do without a store: the tree as one archive."""
        path = self.work / "tree.tar.zst"
        subprocess.run(["tar", "-C", self.tree, "--xattrs", "--xattrs-include=*", "-I", "zstd -3 -T0",
                        "-cf", path, "."], check=True)
        url = f"{self.endpoint}/bench/tree.tar.zst"
        subprocess.run(self.curl("-T", path, url), check=True, stdout=subprocess.DEVNULL)
        return url

    def unpack(self, url, folder):
        folder.mkdir()
        curl = shlex.join(self.curl(url))
        return Run(["sh", "-c", f'{curl} | tar -C "$0" --xattrs --xattrs-include="*" -I zstd -xf - && sync -f "$0"',
                    folder])

    def pull(self, store):
        self.coppice(store, "remote", "add", "s3", "s3://bench/cache")
        return self.coppice(store, "pull", "s3", "tree")[0]

    def measure(self):
        self.prepare()
        push, said = self.coppice("remote-a", "push", "s3", "tree")
        self.row(f"push of {self.entries} entries, {self.size / 1e9:.2f} GB, to an empty remote",
                 f"{push.wall:.1f} s, CPU {push.cpu:.1f} s, {said['requests']} requests, "
                 f"{said['sent'] / 1e6:.0f} MB ({said['sent'] / self.size:.3f} of the tree)",
                 "40 requests, 0.4 of the tree")
        packs = self.packs()
        small, said = self.coppice("remote-a", "push", "s3", "changed")
        self.row(f"push after one package more ({self.changed_bytes / 1e3:.0f} kB)",
                 f"{small.wall:.2f} s, {said['requests']} requests, {said['sent'] / 1e3:.0f} kB",
                 f"8 requests, {(65536 + self.changed_bytes / 2) / 1e3:.0f} kB")
        archive = self.archive()
        contestants = {"pull": lambda number: self.pull(f"remote-pull-{number}"),
                       "curl": lambda number: self.download(packs, self.work / f"downloaded-{number}"),
                       "tar": lambda number: self.unpack(archive, self.work / f"unpacked-{number}"),
                       "copy": lambda number: copy_synced(self.tree, self.work / f"copied-{number}")}
        runs = {name: [] for name in contestants}
        for number in range(self.rounds):
            for name in list(contestants)[::-1 if number % 2 else 1]:
                runs[name].append(contestants[name](number))
        wall, cpu = ({name: median(some, what) for name, some in runs.items()} for what in ("wall", "cpu"))
        said = json.loads(runs["pull"][-1].out)
        self.row("pull into an empty store",
                 f"{wall['pull']:.1f} s, CPU {cpu['pull']:.1f} s, {said['requests']} requests, "
                 f"{said['received'] / 1e6:.0f} MB; {wall['pull'] / wall['curl']:.2f} times curl", "1.5 times curl")
        self.row("the same bytes by curl, to files that are not synced",
                 f"{wall['curl']:.1f} s, CPU {cpu['curl']:.1f} s")
        for name, what in (("tar", "the tree as tar.zst by curl, unpacked and synced"),
                           ("copy", "the tree by cp -a from the page cache, synced: no network, no hash")):
            self.row(what, f"{wall[name]:.1f} s, CPU {cpu[name]:.1f} s; "
                     f"pull takes {wall['pull'] / wall[name]:.2f} of it")
        self.build()
