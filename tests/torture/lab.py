# SPDX-License-Identifier: Apache-2.0
"""What every torture shares: a program to drive, trees to store, and the judge.

The judge is tests/oracle.py, which knows docs/store-format.md and no code of coppice.
"""
import atexit
import concurrent.futures
import ctypes
import json
import os
import pathlib
import random
import shutil
import subprocess
import sys
import tempfile
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
import oracle  # noqa: E402

COPPICE = os.environ.get("COPPICE", "build/coppice")
SKIPPED = 77
CLONE_NEWNS, MS_REC, MS_PRIVATE = 0x20000, 0x4000, 0x40000
# No thread, so that the n-th call is the same call every time; no leak check, which would
# stop under a tracer.
QUIET = {"COPPICE_THREADS": "0", "ASAN_OPTIONS": "detect_leaks=0"}


def skip(why):
    print(f"SKIPPED: {why}")
    sys.exit(SKIPPED)


def scratch(prefix, where=None):
    """A directory that goes when the program ends."""
    top = pathlib.Path(tempfile.mkdtemp(prefix=f"coppice-torture-{prefix}-", dir=where))
    owner = os.getpid()

    def remove():
        if os.getpid() == owner:
            subprocess.run(["chmod", "-R", "u+rwx", top], check=False, stderr=subprocess.DEVNULL)
            shutil.rmtree(top, ignore_errors=True)

    atexit.register(remove)
    return top


def in_memory(prefix):
    """As scratch(), in memory where that holds what a tree has: for what does not lose power.
    Needs own_mounts()."""
    top = scratch(prefix)
    options = ["mount", "-t", "tmpfs", "-o", "mode=700", "tmpfs", str(top)]
    if os.geteuid() != 0 or subprocess.run(options, check=False, capture_output=True).returncode:
        return top
    try:
        os.setxattr(top, "user.try", b"")
        os.removexattr(top, "user.try")
    except OSError:
        subprocess.run(["umount", top], check=True)
        return top
    owner = os.getpid()

    def unmount():
        if os.getpid() == owner:
            subprocess.run(["umount", "-l", top], check=False)

    atexit.register(unmount)
    return top


def own_mounts():
    """What is mounted from here on ends with us.  False: not root."""
    libc = ctypes.CDLL(None, use_errno=True)
    return os.geteuid() == 0 and libc.unshare(CLONE_NEWNS) == 0 and \
        libc.mount(None, b"/", None, MS_REC | MS_PRIVATE, None) == 0


def run(store, *args, status=0, env=None, timeout=120, **options):
    """coppice; @status None: any."""
    result = subprocess.run([COPPICE, "--store", str(store), *map(str, args)], capture_output=True,
                            check=False, timeout=timeout, env={**os.environ, **(env or {})}, **options)
    if status is not None and result.returncode != status:
        raise Violation(f"{args} gave {result.returncode}: {result.stderr.decode(errors='replace')}")
    return result


def out(store, *args, **options):
    return run(store, *args, **options).stdout.decode().strip()


class Violation(Exception):
    """A promise that was not kept."""


def judge(store, wanted=(), complete=False, allow_marks=False):
    """Complaints of the oracle, as a Violation."""
    found = oracle.Oracle(store, allow_marks)
    found.judge(list(wanted), complete)
    if found.complaints:
        raise Violation("; ".join(found.complaints[:5]))
    return found


def refs(store):
    """{class/name: digest}, read without coppice."""
    return dict(oracle.Oracle(store).refs()) if (pathlib.Path(store) / "refs").is_dir() else {}


def copy(template, to):
    subprocess.run(["cp", "-a", "--reflink=auto", template, to], check=True)


def copy_store(template, to):
    """The same for a store, which holds files, directories and symlinks, a hundred times as
    fast as to start a program."""
    os.mkdir(to, 0o700)
    for entry in os.scandir(template):
        path = f"{to}/{entry.name}"
        if entry.is_symlink():
            os.symlink(os.readlink(entry.path), path)
            continue
        if entry.is_dir():
            copy_store(entry.path, path)
        else:
            with open(entry.path, "rb") as file, open(path, "wb") as copied:
                copied.write(file.read())
        stat = entry.stat()
        os.chmod(path, stat.st_mode & 0o7777)
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def remove(path):
    subprocess.run(["rm", "-rf", path], check=False, stderr=subprocess.DEVNULL)


def make_tree(path, seed, n_files=6, sizes=(20, 100, 5000, 70000)):
    """A small tree with one of most things, the same for the same seed."""
    rng = random.Random(seed)
    path = pathlib.Path(path)
    (path / "etc" / "deep").mkdir(parents=True)
    for number in range(n_files):
        (path / "etc" / f"file-{number}").write_bytes(rng.randbytes(rng.choice(sizes)))
    (path / "etc" / "deep" / "shared").write_bytes(b"the same in every tree" * 100)
    os.link(path / "etc" / "deep" / "shared", path / "link")
    (path / "symlink").symlink_to("etc/deep")
    os.setxattr(path / "link", "user.seed", str(seed).encode())
    os.mkfifo(path / "fifo")
    subprocess.run(["find", path, "-exec", "touch", "-h", "-d", f"@{1_600_000_000 + seed}", "{}", "+"], check=True)
    return path


class Report:
    """Counts, prints, and at last writes what was done where COPPICE_TORTURE_REPORT says."""

    def __init__(self, name, seed):
        self.name, self.seed = name, seed
        self.counts = {}
        self.violations = []
        self.begin = self.told = time.monotonic()
        print(f"{name}: seed {seed}, {COPPICE}", flush=True)

    def count(self, what, n=1):
        self.counts[what] = self.counts.get(what, 0) + n
        if time.monotonic() > self.told + 60:
            self.told = time.monotonic()
            print(f"{self.name}: so far {self.counts}", flush=True)

    def violation(self, where, what):
        self.violations.append(f"{where}: {what}")
        print(f"VIOLATION {self.name} (seed {self.seed}): {where}: {what}"[:2000], flush=True)

    def end(self):
        seconds = time.monotonic() - self.begin
        words = ", ".join(f"{n} {what}" for what, n in self.counts.items())
        print(f"{self.name}: {words}, {len(self.violations)} violations, {seconds:.0f} s", flush=True)
        path = os.environ.get("COPPICE_TORTURE_REPORT")
        if path:
            with open(path, "a", encoding="utf-8") as file:
                file.write(json.dumps({"name": self.name, "seed": self.seed, "counts": self.counts,
                                       "violations": self.violations, "seconds": round(seconds)}) + "\n")
        return 1 if self.violations else 0


def in_parallel(function, items, n_processes=None):
    """function(item) for each, by as many processes as there are processors."""
    n_processes = n_processes or os.cpu_count()
    with concurrent.futures.ProcessPoolExecutor(n_processes) as pool:
        waiting = set()
        items = iter(items)
        more = True
        while more or waiting:
            while more and len(waiting) < 2 * n_processes:
                try:
                    waiting.add(pool.submit(function, next(items)))
                except StopIteration:
                    more = False
            done, waiting = concurrent.futures.wait(waiting, return_when=concurrent.futures.FIRST_COMPLETED)
            for one in done:
                yield one.result()
