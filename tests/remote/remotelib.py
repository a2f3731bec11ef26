# SPDX-License-Identifier: Apache-2.0
"""What the tests of remotes share: a place with stores and trees, and the run of claims.

A claim is a function whose only argument is called p, a Place of its own.  Prints cmocka's
marks, so that the summary counts claims.
"""
import hashlib
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import claims  # noqa: E402
from claims import Skipped  # noqa: E402,F401

COPPICE = sys.argv[1] if len(sys.argv) > 1 else "coppice"


WORDS = [str(i).encode() for i in range(5000)]


def noise(size, seed):
    return random.Random(seed).randbytes(size)


def words(size, seed):
    """Text that compresses as programs and documents do."""
    return b" ".join(random.Random(seed).choices(WORDS, k=size // 4 + 1))[:size]


class Place:
    """A scratch directory; stores are made by their first use."""

    def __init__(self):
        self.top = pathlib.Path(tempfile.mkdtemp(prefix="coppice-test-remote-"))
        self.tree = self.top / "tree"
        self.environment = {}
        self.closers = []

    def grow(self, seed=1, small=60, large=3):
        """A tree with inline, small and large files, a hard link and a hole."""
        tree = self.tree
        (tree / "usr" / "bin").mkdir(parents=True, exist_ok=True)
        for i in range(small):
            (tree / "usr" / "bin" / f"f{i}").write_bytes(words(50 + i * 997 % 60_000,
                                                              seed * 1000 + i))
        for i in range(large):
            (tree / f"large{i}").write_bytes(noise(700_000 * (i + 1), seed * 77 + i))
        (tree / "hole").write_bytes(b"")
        os.truncate(tree / "hole", 3_000_000 + seed * 4096)
        if large and not (tree / "link").exists():
            os.link(tree / "large0", tree / "link")
        return tree

    def shrink(self, keep=5):
        """A tree of 9 MB; called again, another of which the first has little."""
        tree = self.tree
        if not tree.exists():
            tree.mkdir()
            (tree / "parts").write_bytes(noise(4_500_000, 1) + words(500_000, 1))
            for i in range(40):
                (tree / f"small{i}").write_bytes(words(9_000, i))
                (tree / f"large{i}").write_bytes(noise(130_000, i))
            return tree
        for i in range(keep, 40):
            (tree / f"small{i}").unlink(missing_ok=True)
            (tree / f"large{i}").unlink(missing_ok=True)
        (tree / "parts").write_bytes(noise(1_048_576, 1) + noise(4_000_000, 2))
        return tree

    def place(self, name="place"):
        path = self.top / name
        path.mkdir(exist_ok=True)
        return path

    def run(self, store, *args, status=0, environment=None):
        result = subprocess.run([COPPICE, "--store", self.top / store, *map(str, args)], text=True,
                                capture_output=True, check=False, timeout=170,
                                env={**os.environ, **self.environment, **(environment or {})})
        assert result.returncode == status, (args, result.returncode, result.stdout, result.stderr)
        return result

    def start(self, store, *args):
        return subprocess.Popen([COPPICE, "--store", self.top / store, *map(str, args)], text=True,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                                env={**os.environ, **self.environment})

    def out(self, store, *args, **options):
        return self.run(store, *args, **options).stdout

    def json(self, store, *args, **options):
        return json.loads(self.out(store, "--json", *args, **options))

    def error(self, store, *args, status=1, **options):
        """The one line of an error."""
        lines = self.run(store, *args, status=status, **options).stderr.strip().splitlines()
        assert len(lines) == 1 and lines[0].startswith("coppice: "), lines
        return lines[0]

    def commit(self, store, name):
        return self.out(store, "commit", self.tree, name).strip()

    def snapshot(self, store):
        """Everything that a store promises: refs, objects and files by name and size."""
        found = []
        for part in ("refs", "objects", "files"):
            for path in sorted((self.top / store / part).rglob("*")):
                text = os.readlink(path) if path.is_symlink() else \
                    path.stat().st_size if path.is_file() else ""
                found.append((str(path.relative_to(self.top / store)), text))
        return found

    def check_pool(self, store):
        """Every file of the pool has the content that its name says (an oracle of its own)."""
        files = [p for p in (self.top / store / "files").rglob("*") if p.is_file()]
        for path in files:
            assert verity(path.read_bytes()) == path.parent.name + path.name, path
        return len(files)

    def same_tree(self, a, b, name):
        """The tree of that name is the same in both stores, to the last byte."""
        out = self.top / "laid-out"
        assert self.out(a, "dump", name) == self.out(b, "dump", name)
        shutil.rmtree(out, ignore_errors=True)
        self.run(b, "export", name, out)
        for path in sorted(self.tree.rglob("*")):
            if path.is_file() and not path.is_symlink():
                assert (out / path.relative_to(self.tree)).read_bytes() == path.read_bytes(), path

    def close(self):
        for closer in reversed(self.closers):
            closer()
        subprocess.run(["chmod", "-R", "u+rwx", self.top], check=False)
        shutil.rmtree(self.top)


def verity(data):
    """The fs-verity digest of bytes, in the plainest way."""
    level = [hashlib.sha256(data[i:i + 4096].ljust(4096, b"\0")).digest()
             for i in range(0, len(data), 4096)]
    while len(level) > 1:
        level = [hashlib.sha256(b"".join(level[i:i + 128]).ljust(4096, b"\0")).digest()
                 for i in range(0, len(level), 128)]
    root = level[0] if level else bytes(32)
    head = bytes([1, 1, 12, 0]) + bytes(4) + len(data).to_bytes(8, "little") + root
    return hashlib.sha256(head.ljust(256, b"\0")).hexdigest()


def run_claims(namespace):
    """Every claim of a module, or those that the command line names."""
    return claims.run_claims(namespace, Place, [word for word in sys.argv[2:] if "/" not in word])
