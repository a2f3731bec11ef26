# SPDX-License-Identifier: Apache-2.0
"""The command osbuild: a large manifest inspected, and one whose exports are all in the store.

The manifests are as large as those of a Fedora image: 2,000 packages, each a source and an input of
two stages.  $COPPICE_OSBUILD names a libdir of osbuild's that has its Python package beside its
modules, like a checkout or /usr/lib/osbuild; with it the peer is measured, by the same schemas.
"""
import functools
import hashlib
import http.server
import json
import os
import subprocess
import sys
import threading

from measure import COPPICE, Run, median, ratio, remove, rotate

N_PACKAGES = 2000
# Of manifests whose exports are in the store: as Debian has them here, and as Fedora.
CACHED = (200, N_PACKAGES)
EPOCH = 1600000000
LIBDIR = os.environ.get("COPPICE_OSBUILD", "")
OWN = ["--native", "first"]
SMALL = {"type": "org.osbuild.mkdir",
         "options": {"paths": [{"path": f"/{a}/{b}", "parents": True} for a in range(10) for b in range(20)]}}


class Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *args):  # what a server says is of no interest here
        pass


def checksum(number):
    return "sha256:" + hashlib.sha256(content(number)).hexdigest()


def content(number):
    return f"package {number}\n".encode()


def files(numbers):
    return {"type": "org.osbuild.files", "origin": "org.osbuild.source",
            "references": {checksum(n): {"metadata": {"rpm.check_gpg": True}} for n in numbers}}


def settings():
    """What an image has beside its packages, a few lines each."""
    return [
        {"type": "org.osbuild.hostname", "options": {"hostname": "localhost.localdomain"}},
        {"type": "org.osbuild.fstab", "options": {"filesystems": [
            {"uuid": f"6e4ff95f-f662-45ee-a82a-bdf44a2d0b{i:02x}", "vfs_type": "ext4", "path": f"/{i}",
             "options": "defaults"} for i in range(8)]}},
        {"type": "org.osbuild.users", "options": {"users": {
            f"user{i}": {"uid": 1000 + i, "groups": ["wheel"], "shell": "/bin/bash"} for i in range(20)}}},
        {"type": "org.osbuild.systemd", "options": {"enabled_services": [f"unit{i}.service" for i in range(50)]}},
    ]


def large(with_rpm):
    """Two pipelines that install, one that makes an image of it; nobody runs them."""
    def install(numbers):
        if with_rpm:
            return {"type": "org.osbuild.rpm", "inputs": {"packages": files(numbers)},
                    "options": {"gpgkeys": ["-----BEGIN PGP PUBLIC KEY BLOCK-----\n" + "x" * 3000]}}
        return {"type": "org.osbuild.copy", "inputs": {"packages": files(numbers)}, "options": {"paths": [
            {"from": f"input://packages/{checksum(n)}", "to": f"tree:///{n}"} for n in numbers]}}

    build = {"name": "build", "stages": [install(range(500))]}
    tree = {"name": "os", "build": "name:build", "stages": [install(range(N_PACKAGES)), *settings()]}
    image = {"name": "image", "build": "name:build", "stages": [
        {"type": "org.osbuild.truncate", "options": {"filename": "disk.img", "size": "10737418240"}},
        {"type": "org.osbuild.copy", "options": {"paths": [{"from": "input://tree/", "to": "tree:///tree"}]},
         "inputs": {"tree": {"type": "org.osbuild.tree", "origin": "org.osbuild.pipeline",
                             "references": ["name:os"]}}}]}
    return {"version": "2", "pipelines": [build, tree, image], "sources": {"org.osbuild.curl": {"items": {
        checksum(n): {"url": f"https://example.org/fedora/Packages/p/package-{n}-1.0-1.fc43.x86_64.rpm"}
        for n in range(N_PACKAGES)}}}}


class Osbuild:
    """inspect: at most 0.1 of osbuild's time; exports that are in the store: at most 50 ms."""

    def __init__(self, work, rounds):
        self.work, self.rounds = work / "osbuild", rounds
        self.n_outputs = 0
        remove(self.work)
        self.work.mkdir(parents=True)

    def write(self, name, manifest):
        path = self.work / name
        path.write_text(json.dumps(manifest))
        return path

    def inspections(self):
        """{name: command}; every contestant says the same ids, or there is nothing to measure."""
        own = self.write("own.json", large(False))
        commands = {"coppice, its own modules": [COPPICE, "osbuild", *OWN, "--inspect", own]}
        if LIBDIR:
            rpm = self.write("rpm.json", large(True))
            commands["coppice, osbuild's modules"] = [COPPICE, "osbuild", "--native", "never", "--libdir", LIBDIR,
                                                      "--inspect", rpm]
            commands["osbuild"] = [sys.executable, "-m", "osbuild", "--libdir", LIBDIR, "--inspect", rpm]
            said = [self.command(commands[name])().out for name in ("coppice, osbuild's modules", "osbuild")]
            if said[0] != said[1]:
                sys.exit("bench: osbuild and coppice inspect the manifest differently")
        return commands

    @staticmethod
    def command(argv):
        """The interpreter's own cache must not be written into the libdir."""
        environment = {**os.environ, "PYTHONPATH": LIBDIR, "PYTHONDONTWRITEBYTECODE": ""}
        return lambda: Run([str(word) for word in argv], env=environment)

    def fresh(self, argv):
        """Each run exports to a place of its own: what it costs to remove another is not of interest."""
        def run():
            self.n_outputs += 1
            return self.command([*argv, "--output-directory", self.work / f"out-{self.n_outputs}"])()
        return run

    def cached(self, n_packages):
        """{name: contestant}, after a first run with a server for the sources, which then ends: whoever
        asks for anything fails."""
        folder, store = self.work / f"served-{n_packages}", self.work / f"store-{n_packages}"
        folder.mkdir()
        for number in range(n_packages):
            (folder / str(number)).write_bytes(content(number))
        server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(Quiet, directory=folder))
        threading.Thread(target=server.serve_forever, daemon=True).start()
        install = {"type": "org.osbuild.copy", "inputs": {"packages": files(range(n_packages))}, "options": {
            "paths": [{"from": f"input://packages/{checksum(n)}", "to": f"tree:///0/{n}"} for n in range(50)]}}
        path = self.write(f"cached-{n_packages}.json", {"version": "2", "pipelines": [
            {"name": "tree", "source-epoch": EPOCH, "stages": [SMALL, install]}],
            "sources": {"org.osbuild.curl": {"items": {
                checksum(n): f"http://127.0.0.1:{server.server_port}/{n}" for n in range(n_packages)}}}})
        contestants = {}
        for kind, more in (("text", []), ("--json", ["--json"])):
            contestants[f"coppice, {n_packages:,} packages all in the store, {kind}"] = self.fresh([
                COPPICE, "osbuild", *OWN, "--store", store, path, "--export", "tree",
                "--checkpoint", "tree", *more])
        next(iter(contestants.values()))()
        server.shutdown()
        server.server_close()
        return contestants

    def table(self):
        if LIBDIR:
            subprocess.run([sys.executable, "-m", "osbuild", "--version"], check=True, stdout=subprocess.DEVNULL,
                           env={**os.environ, "PYTHONPATH": LIBDIR})
        else:
            print("bench: osbuild is NOT measured: COPPICE_OSBUILD names no libdir with its Python package",
                  flush=True)
        contestants = {name: self.command(argv) for name, argv in self.inspections().items()}
        for n_packages in CACHED:
            contestants |= self.cached(n_packages)
        results = rotate(contestants, self.rounds)
        lines = [f"{N_PACKAGES} packages", "", "| what | ms | CPU ms |", "|---|---|---|"]
        lines += [f"| {name} | {median(runs) * 1000:.0f} | {median(runs, 'cpu') * 1000:.0f} |"
                  for name, runs in results.items()]
        lines += ["", "| claim | reached | at most |", "|---|---|---|"]
        if LIBDIR:
            lines.append(ratio("inspect, coppice / osbuild",
                               median(results["coppice, osbuild's modules"]) / median(results["osbuild"]), 0.1))
        else:
            lines.append("| inspect, coppice / osbuild | not measured: no osbuild here | 0.1 |")
        for n_packages in CACHED:
            lines.append(ratio(f"exports that are in the store, {n_packages:,} packages, ms", 1000 * max(
                median(runs) for name, runs in results.items() if f" {n_packages:,} packages" in name), 50))
        return "The command osbuild", lines
