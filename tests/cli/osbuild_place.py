# SPDX-License-Identifier: Apache-2.0
"""What the tests of the command osbuild share: a place of their own, and modules."""
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from claims import Skipped  # noqa: E402

COPPICE = os.path.abspath(sys.argv[1])

# Modules that golden manifests name and that have nothing to do but to be there.
ANYTHING = {"stages": ["org.osbuild.rpm", "org.osbuild.sysconfig", "org.osbuild.testing.any", "org.osbuild.lvm2.create"],
            "assemblers": ["org.osbuild.noop", "org.osbuild.tar"],
            "sources": [], "runners": ["org.osbuild.linux", "org.osbuild.rhel82", "org.osbuild.fedora38", "org.osbuild.centos9", "org.osbuild.debian"],
            "inputs": [], "devices": ["org.osbuild.loopback", "org.osbuild.lvm2.lv", "org.osbuild.luks2"],
            "mounts": ["org.osbuild.ext4", "org.osbuild.xfs", "org.osbuild.btrfs"]}

SHELL = """#!/usr/bin/python3
import json, os, subprocess, sys
options = json.load(open("/run/osbuild/api/arguments"))["options"]
os.chdir("/run/osbuild/tree")
sys.exit(subprocess.run(["/bin/sh", "-c", options["command"]], check=False).returncode)
"""


def need_sandbox():
    if os.geteuid() != 0 or not shutil.which("bwrap"):
        raise Skipped("needs root and bubblewrap")


def add_module(libdir, folder, name, text, meta=None):
    path = libdir / folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    path.chmod(0o755)
    if meta is not None:
        path.with_name(name + ".meta.json").write_text(
            json.dumps({"summary": name, "description": [], **meta}))


def make_libdir(libdir):
    for folder, names in ANYTHING.items():
        for name in names:
            schema = {"type": "object"} if folder != "mounts" else None
            meta = None if folder == "runners" else {"schema_2": {"properties": {}, "additionalProperties": True}} \
                if folder == "mounts" else {"schema": schema}
            if folder in ("stages", "assemblers"):
                anything = {"inputs": {}, "devices": {}, "mounts": {}, "options": {}}
                meta = {"schema": {}, "schema_2": anything}
            add_module(libdir, folder, name, "#!/bin/sh\nexec \"$@\"\n", meta)
    add_module(libdir, "stages", "org.test.sh", SHELL, {"schema": {"type": "object"}})


class Place:
    """A scratch directory with a store, a libdir and the program's other name."""

    def __init__(self):
        self.top = pathlib.Path(tempfile.mkdtemp(prefix="coppice-test-osbuild-"))
        self.program = self.top / "osbuild"
        self.program.symlink_to(COPPICE)
        self.store = self.top / "store"
        self.output = self.top / "output"
        self.libdir = self.top / "libdir"
        make_libdir(self.libdir)

    def run(self, *args, manifest=None, status=0, **options):
        if isinstance(manifest, (dict, list)):
            manifest = json.dumps(manifest)
        result = subprocess.run([self.program, *map(str, args)], text=True, input=manifest,
                                capture_output=True, check=False, timeout=300, cwd=self.top, **options)
        if status is not None:
            assert result.returncode == status, (args, result.returncode, result.stdout, result.stderr)
        return result

    def inspect(self, path, status=0):
        return self.run("--inspect", "--native", "first", "--libdir", self.libdir, path, status=status)

    def build(self, manifest, *args, status=0, **options):
        return self.run("--store", self.store, "--libdir", self.libdir, "--output-directory",
                        self.output, "-", *args, manifest=manifest, status=status, **options)

    def result(self, manifest, *args, status=0):
        return json.loads(self.build(manifest, "--json", *args, status=status).stdout)

    def snapshot(self):
        return sorted(str(path.relative_to(self.store)) for part in ("refs", "objects", "files")
                      for path in (self.store / part).rglob("*") if not path.is_dir() or path.is_symlink())

    def close(self):
        shutil.rmtree(self.top, ignore_errors=True)


def sh(*commands, name="tree", **more):
    return {"name": name, "source-epoch": 1000000,
            "stages": [{"type": "org.test.sh", "options": {"command": command}} for command in commands],
            **more}


def two(*pipelines, **more):
    return {"version": "2", "pipelines": list(pipelines), **more}
