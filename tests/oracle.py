#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Judge a store without the code under test: docs/store-format.md, read by another hand.

    oracle.py STORE [--ref NAME=DIGEST]... [--complete]

Every name in objects/ and files/ must be the fs-verity digest of what it names; every ref
must lead to an object whose pool files are all there, as its image and its side list both
say; with --ref, the name must point to that digest.  --complete: nothing in objects/ and
files/ that no ref needs.  Prints what is wrong; exit status 1 if anything is.
"""
import argparse
import hashlib
import os
import pathlib
import re
import struct
import sys

BLOCK = 4096


def verity(data):
    """The fs-verity digest (SHA-256, 4096-byte blocks, no salt) of bytes."""
    level = [data[i:i + BLOCK] for i in range(0, len(data), BLOCK)]
    root = bytes(32)
    while level:
        hashes = [hashlib.sha256(block.ljust(BLOCK, b"\0")).digest() for block in level]
        if len(hashes) == 1:
            root = hashes[0]
            break
        joined = b"".join(hashes)
        level = [joined[i:i + BLOCK] for i in range(0, len(joined), BLOCK)]
    descriptor = struct.pack("<BBBBIQ64s32s144s", 1, 1, 12, 0, 0, len(data), root, b"", b"")
    return hashlib.sha256(descriptor).hexdigest()


class Oracle:
    def __init__(self, store, allow_marks=False):
        self.store = pathlib.Path(store)
        self.allow_marks = allow_marks
        self.complaints = []
        self.needed_objects = set()
        self.needed_files = set()

    def complain(self, text):
        self.complaints.append(text)

    def names(self, directory):
        """Digests that stand in objects/ or files/, each judged by its content."""
        found = set()
        for path in sorted((self.store / directory).glob("*/*")):
            digest = path.parent.name + path.name
            if not re.fullmatch("[0-9a-f]{64}", digest):
                self.complain(f"{path}: not a digest")
                continue
            found.add(digest)
            data = path.read_bytes()
            if verity(data) != digest:
                self.complain(f"{path}: torn ({len(data)} bytes)")
            mode = path.stat().st_mode & 0o7777
            marked = self.allow_marks and directory == "files" and mode == 0
            if (mode != 0o444 and not marked) or path.is_symlink():
                self.complain(f"{path}: wrong mode or type")
        return found

    def check_object(self, digest):
        """The pool files of an image: its redirects, and the list beside it."""
        if digest in self.needed_objects:
            return
        self.needed_objects.add(digest)
        if not self.allow_marks and (self.store / "meta/damaged" / digest).exists():
            self.complain(f"object {digest} carries a mark of damage")
        try:
            image = (self.store / "objects" / digest[:2] / digest[2:]).read_bytes()
            listed = (self.store / "meta/files" / digest).read_bytes()
        except OSError as error:
            self.complain(f"object {digest}: {error}")
            return
        files = {(a + b).decode() for a, b in
                 re.findall(b"/([0-9a-f]{2})/([0-9a-f]{62})", image)}
        prefixes = sorted({bytes.fromhex(name)[:8] for name in files})
        joined = b"".join(prefixes)
        if joined + hashlib.sha256(bytes.fromhex(digest) + joined).digest()[:8] != listed:
            self.complain(f"object {digest}: its side list is wrong")
        for name in sorted(files):
            if not (self.store / "files" / name[:2] / name[2:]).is_file():
                self.complain(f"object {digest}: the pool lacks {name}")
        self.needed_files |= files

    def refs(self):
        """(class/name, digest) of every ref; temporary names are none."""
        for top, _, files in os.walk(self.store / "refs"):
            for name in files:
                path = pathlib.Path(top) / name
                relative = path.relative_to(self.store / "refs")
                if name.startswith(".tmp-"):
                    continue
                ups = "../" * len(relative.parts)
                match = re.fullmatch(re.escape(ups) + "objects/([0-9a-f]{2})/([0-9a-f]{62})",
                                     os.readlink(path)) if path.is_symlink() else None
                if match:
                    yield str(relative), match[1] + match[2]
                else:
                    self.complain(f"ref {relative}: not a link to an object")

    def judge(self, wanted, complete):
        if (self.store / "format").read_bytes() != b"coppice-store 1\n":
            self.complain("the format file is wrong")
        files, objects = self.names("files"), self.names("objects")
        refs = dict(self.refs())
        for name, digest in sorted(refs.items()):
            self.check_object(digest)
        for name, digest in wanted:
            found = refs.get("name/" + name, "none")
            if found != digest:
                self.complain(f"ref {name} points to {found}, not to {digest}")
        if complete and (files != self.needed_files or objects != self.needed_objects):
            self.complain("there is more or less in the store than its refs need")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("store")
    parser.add_argument("--ref", action="append", default=[],
                        type=lambda text: tuple(text.split("=", 1)))
    parser.add_argument("--complete", action="store_true")
    args = parser.parse_args()
    oracle = Oracle(args.store)
    oracle.judge(args.ref, args.complete)
    for text in oracle.complaints[:20]:
        print(text, file=sys.stderr)
    return 1 if oracle.complaints else 0


if __name__ == "__main__":
    sys.exit(main())
