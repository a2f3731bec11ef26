#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""differential.py COPPICE [FIRST_SEED [COUNT]]: random manifests, inspected by osbuild and by coppice.

Both must give the same exit status and the same document: ids, or errors with their paths.
$COPPICE_OSBUILD_LIBDIR names a libdir of osbuild's with its Python package, like a checkout.  Where
there is none nothing is compared, and that is said.
"""
import json
import os
import pathlib
import subprocess
import sys
import tempfile

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).parent))
from manifests import Manifest

COPPICE = os.path.abspath(sys.argv[1])
LIBDIR = os.environ.get("COPPICE_OSBUILD_LIBDIR", "")
SHOWN = 5


def load_osbuild():
    """Its entry point, imported once; or why not."""
    if not LIBDIR:
        return None, "COPPICE_OSBUILD_LIBDIR names no libdir of osbuild's"
    sys.path.insert(0, LIBDIR)
    try:
        from osbuild.main_cli import osbuild_cli
    except ImportError as problem:
        return None, f"osbuild itself cannot be run: {problem}"
    return osbuild_cli, None


class Theirs:
    """osbuild in a child of this process: what it takes to import it is paid once."""

    def __init__(self, entry, top):
        self.entry = entry
        self.files = [top / name for name in ("stdin", "stdout", "stderr")]

    def run(self, text):
        self.files[0].write_bytes(text)
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            status = 1
            try:
                for fd, (path, mode) in enumerate(zip(self.files, (os.O_RDONLY, os.O_WRONLY, os.O_WRONLY))):
                    os.dup2(os.open(path, mode | os.O_CREAT | os.O_TRUNC * (fd > 0), 0o600), fd)
                sys.stdin = open(0, encoding="utf-8", closefd=False)
                sys.stdout = open(1, "w", encoding="utf-8", closefd=False)
                sys.argv = ["osbuild", "--libdir", LIBDIR, "--inspect", "-"]
                status = self.entry(no_reexec=True)
                sys.stdout.flush()
            except BaseException as problem:  # as the interpreter would end
                os.write(2, f"{type(problem).__name__}: {problem}\n".encode(errors="replace"))
            os._exit(status)
        _, status = os.waitpid(child, 0)
        return os.waitstatus_to_exitcode(status), *(path.read_text(encoding="utf-8") for path in self.files[1:])


def run_ours(text):
    done = subprocess.run([COPPICE, "osbuild", "--libdir", LIBDIR, "--native", "never", "--inspect", "-"], input=text,
                          capture_output=True, timeout=60, check=False)
    return done.returncode, done.stdout.decode(), done.stderr.decode()


def plain(output):
    """Errors of the same place have no order in osbuild."""
    try:
        document = json.loads(output)
    except ValueError:
        return output
    if document.get("type") != "https://osbuild.org/validation-error":
        return output
    document["errors"].sort(key=json.dumps)
    return document


def is_of_2020(text):
    """Was a manifest when osbuild had no schemas, and is taken as that: a build without a pipeline, or a
    pipeline that is the whole document."""
    try:
        document = json.loads(text)
    except ValueError:
        return False
    if not isinstance(document, dict) or "version" in document:
        return False
    if "stages" in document or "build" in document or "assembler" in document:
        return True
    pipeline = document.get("pipeline")
    while isinstance(pipeline, dict) and isinstance(pipeline.get("build"), dict):
        if "pipeline" not in pipeline["build"]:
            return True
        pipeline = pipeline["build"]["pipeline"]
    return False


def compare(theirs, text):
    """osbuild's exit status, and what differs, or None."""
    one, other = theirs.run(text), run_ours(text)
    if one[0] != other[0]:
        return one[0], f"exit status {one[0]}, ours {other[0]}\n{one[1]}{one[2]}ours:\n{other[1]}{other[2]}"
    if other[0] == 1 and (other[1] or other[2].count("\n") != 1):
        return one[0], f"not one line: {other}"
    if plain(one[1]) != plain(other[1]):
        return one[0], f"another document (exit status {one[0]})\n{one[1]}ours:\n{other[1]}"
    return one[0], None


def main():
    entry, why = load_osbuild()
    if why:
        print(f"[  ABSENT  ] random manifests beside osbuild: {why}")
        return 0
    first = int(sys.argv[2]) if len(sys.argv) > 2 else 1
    count = int(sys.argv[3]) if len(sys.argv) > 3 else 100
    failed, statuses = [], {}  # how many manifests ended with which status
    with tempfile.TemporaryDirectory(prefix="coppice-test-") as top:
        theirs = Theirs(entry, pathlib.Path(top))
        print(f"[ RUN      ] random manifests beside osbuild, seeds {first} to {first + count - 1}", flush=True)
        for seed in range(first, first + count):
            text = Manifest(LIBDIR, seed).text().encode("utf-8", "surrogatepass")
            if is_of_2020(text):
                continue
            status, wrong = compare(theirs, text)
            statuses[status] = statuses.get(status, 0) + 1
            if wrong:
                failed.append(seed)
                if len(failed) <= SHOWN:
                    print(f"seed {seed}: {wrong}")
    print("exit statuses:", ", ".join(f"{n} times {status}" for status, n in sorted(statuses.items())))
    if failed:
        print(f"{len(failed)} of {count} differ: seeds {failed}\n[  FAILED  ] random manifests beside osbuild")
        return 1
    print("[       OK ] random manifests beside osbuild")
    return 0


if __name__ == "__main__":
    sys.exit(main())
