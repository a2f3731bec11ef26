# SPDX-License-Identifier: Apache-2.0
"""A large store is collected while somebody asks for its lock all the time, and verified
against openssl.

The store is made by hand, as docs/store-format.md has it: a million files in the pool, each
under its true digest, and a thousand names of 35,000 entries, of which 34,000 are everybody's
and 1,000 their own.  A hundred names go, and with them a tenth of the files.  Images are holes
of the size they would have: a collection reads side lists, never images.

It stands on an ext4 of its own, made and mounted as Debian does it: with a journal and without
"discard", which makes the disk's answer to each removed file the whole of the time.
"""
import concurrent.futures
import contextlib
import hashlib
import json
import os
import statistics
import struct
import subprocess
import sys
import time

from measure import COPPICE, Run, drop_caches, ratio, remove, sync, warm
from trees import debian_tree

NAMES, SHARED, OWN, GONE = 1000, 34_000, 966, 100
IMAGE_SIZE = 226 * (SHARED + OWN) // 4096 * 4096
# Enough for a descriptor of fs-verity: one block, so its hash is the root.
DESCRIPTOR = struct.Struct("<BBBBIQ64s32s144s")
ASKER = """
import fcntl, struct, sys, time
READ, UNLOCK, WAIT = fcntl.F_RDLCK, fcntl.F_UNLCK, 38   # F_OFD_SETLKW
def set_byte(fd, kind, byte):
    fcntl.fcntl(fd, WAIT, struct.pack("hhqqi4x", kind, 0, byte, 1, 0))
longest = n = 0
print("ready", flush=True)
with open(sys.argv[1], "rb+") as file:
    while time.time() < float(sys.argv[2]) and not __import__("os").path.exists(sys.argv[3]):
        begin = time.monotonic()
        set_byte(file, READ, 0)
        set_byte(file, READ, 1)
        set_byte(file, UNLOCK, 0)
        longest, n = max(longest, time.monotonic() - begin), n + 1
        set_byte(file, UNLOCK, 1)
        time.sleep(0.001)
print(longest, n)
"""


def content(number):
    return b"%d " % number * 20


def small_digest(data):
    """fs-verity's, of less than a block."""
    root = hashlib.sha256(data.ljust(4096, b"\0")).digest()
    return hashlib.sha256(DESCRIPTOR.pack(1, 1, 12, 0, 0, len(data), root, b"", b"")).digest()


def make_files(store, numbers):
    """The pool files of these numbers; their digests, joined."""
    digests = bytearray()
    for number in numbers:
        data = content(number)
        digest = small_digest(data)
        name = digest.hex()
        fd = os.open(f"{store}/files/{name[:2]}/{name[2:]}", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o444)
        os.write(fd, data)
        os.close(fd)
        digests += digest
    return bytes(digests)


def put_list(store, digest, prefixes):
    text = b"".join(sorted(prefixes))
    check = hashlib.sha256(bytes.fromhex(digest) + text).digest()[:8]
    (store / "meta" / "files" / digest).write_bytes(text + check)


class Large:
    """A store that is collected once, and made good again for the next time."""

    def __init__(self, path):
        self.path, self.files, self.digests = path, [], []

    def make(self):
        remove(self.path)
        Run([COPPICE, "--store", self.path, "init"])
        for directory in ("files", "objects"):
            for shard in range(256):
                (self.path / directory / f"{shard:02x}").mkdir(exist_ok=True)
        total, step = SHARED + NAMES * OWN, 20_000
        parts = [range(at, min(at + step, total)) for at in range(0, total, step)]
        with concurrent.futures.ProcessPoolExecutor() as pool:
            for digests in pool.map(make_files, [self.path] * len(parts), parts):
                self.files += [digests[at:at + 32] for at in range(0, len(digests), 32)]
        self.digests = [hashlib.sha256(b"image %d" % number).hexdigest() for number in range(NAMES)]
        (self.path / "refs" / "name" / "tree").mkdir(parents=True, exist_ok=True)
        for number in range(NAMES):
            self.put_tree(number)
        self.drop_names()

    def own(self, number):
        return range(SHARED + number * OWN, SHARED + (number + 1) * OWN)

    def put_tree(self, number):
        digest = self.digests[number]
        image = self.path / "objects" / digest[:2] / digest[2:]
        with open(image, "wb") as file:
            file.truncate(IMAGE_SIZE)
        image.chmod(0o444)
        put_list(self.path, digest,
                 [d[:8] for d in self.files[:SHARED]] + [self.files[n][:8] for n in self.own(number)])
        link = self.path / "refs" / "name" / "tree" / str(number)
        if not link.is_symlink():
            link.symlink_to(f"../../../objects/{digest[:2]}/{digest[2:]}")

    def drop_names(self):
        for number in range(GONE):
            (self.path / "refs" / "name" / "tree" / str(number)).unlink()
        sync()

    def refill(self):
        """What the last collection took."""
        for number in range(GONE):
            make_files(self.path, self.own(number))
            self.put_tree(number)
        self.drop_names()

    def collect(self):
        """(its cost, the longest wait of somebody who asks all the time)"""
        stop = self.path.parent / "stop"
        stop.unlink(missing_ok=True)
        with subprocess.Popen([sys.executable, "-c", ASKER, self.path / "lock", str(time.time() + 600), stop],
                              stdout=subprocess.PIPE, text=True) as asker:
            asker.stdout.readline()
            run = Run([COPPICE, "--json", "--store", self.path, "gc"])
            stop.touch()
            run.waited, run.asked = map(float, asker.stdout.readline().split())
        stop.unlink()
        found = json.loads(run.out)
        run.gone = {kind: found["gone"][kind]["count"] for kind in ("object", "file")}
        wanted = {"object": GONE, "file": GONE * OWN}
        if run.gone != wanted:
            sys.exit(f"bench: a collection took {run.gone}, not {wanted}")
        return run


@contextlib.contextmanager
def own_ext4(work):
    """A mounted file system with room for the store."""
    image, place = work / "care.ext4", work / "care"
    if os.path.ismount(place):
        Run(["umount", place])
    image.unlink(missing_ok=True)
    place.mkdir(exist_ok=True)
    with open(image, "wb") as file:
        file.truncate(24 << 30)
    Run(["mkfs.ext4", "-q", "-N", "2500000", image])
    Run(["mount", "-o", "loop,nodiscard", image, place])
    try:
        yield place
    finally:
        Run(["umount", place])
        image.unlink()


class Care:
    def __init__(self, work, rounds):
        self.work, self.rounds = work, rounds

    def plain_removal(self, place):
        """What rm takes for as many files as a collection removes."""
        folder = place / "plain"
        for shard in range(256):
            (folder / "files" / f"{shard:02x}").mkdir(parents=True)
        make_files(folder, range(GONE * OWN))
        sync()
        run = Run(["rm", "-rf", folder])
        print(f"  rm -rf of {GONE * OWN:,} files: {run.wall:.2f} s", flush=True)
        return run

    def collections(self, place):
        large = Large(place / "large")
        large.make()
        runs = {"warm": [], "cold": [], "rm": [self.plain_removal(place) for _ in range(self.rounds)]}
        for number in range(self.rounds):
            for kind in ("warm", "cold"):
                of_kind = runs[kind]
                if number or kind == "cold":
                    large.refill()
                if kind == "cold":
                    drop_caches(3)
                else:
                    Run([COPPICE, "--store", large.path, "gc", "--dry-run"])
                of_kind.append(large.collect())
                last = of_kind[-1]
                print(f"  round {number + 1}: {kind}: {last.wall:.2f} s, {last.cpu:.2f} s of processors, "
                      f"{last.waited * 1000:.0f} ms the longest of {last.asked:.0f} waits", flush=True)
        return runs

    def verifications(self):
        """{who: walls} of hashing all bytes of the store of a Debian tree."""
        tree, store = debian_tree(self.work), self.work / "store-verify"
        remove(store)
        Run([COPPICE, "--store", store, "commit", tree, "tree"])
        digest_all = (f"find '{store}/files' '{store}/objects' -type f -print0 | "
                      f"xargs -0 -P {os.cpu_count()} -n 500 openssl dgst -sha256 >/dev/null")
        walls = {"coppice verify": [], "openssl": []}
        for number in range(self.rounds):
            warm(store)
            for who, argv in (("coppice verify", [COPPICE, "--store", store, "verify"]),
                              ("openssl", ["sh", "-c", digest_all])):
                walls[who].append(Run(argv))
                print(f"  round {number + 1}: {who}: {walls[who][-1].wall:.2f} s", flush=True)
        size = sum(path.stat().st_size for part in ("files", "objects") for path in (store / part).rglob("*")
                   if path.is_file())
        remove(store)
        return walls, size

    def table(self):
        with own_ext4(self.work) as place:
            runs = self.collections(place)
        walls, size = self.verifications()
        middle = {kind: statistics.median(run.wall for run in of_kind) for kind, of_kind in runs.items()}
        waited = max(run.waited for kind in ("warm", "cold") for run in runs[kind])
        speed = {who: size / statistics.median(run.wall for run in of_who) / 1e6 for who, of_who in walls.items()}
        lines = [f"A store of {SHARED + NAMES * OWN:,} files and {NAMES} names of {SHARED + OWN:,} entries, of which "
                 f"{GONE} names with {GONE * OWN:,} files go.",
                 "", "| collection | wall | CPU |", "|---|---|---|"]
        names = {"warm": "caches warm", "cold": "caches cold",
                 "rm": f"for comparison, rm -rf of {GONE * OWN:,} such files"}
        for kind, name in names.items():
            lines.append(f"| {name} | {middle[kind]:.2f} s | "
                         f"{statistics.median(run.cpu for run in runs[kind]):.2f} s |")
        lines += ["", f"Verification of {size / 1e6:.0f} MB:", "", "| | MB/s |", "|---|---|"]
        lines += [f"| {who} | {speed[who]:.0f} |" for who in speed]
        lines += ["", "| claim | reached | wanted |", "|---|---|---|",
                  ratio("gc, caches warm, seconds", middle["warm"], "at most 10"),
                  ratio("longest wait of another process, seconds", waited, "at most 0.3"),
                  ratio("verify / openssl", speed["coppice verify"] / speed["openssl"], "at least 0.8")]
        return "Care of a large store", lines
