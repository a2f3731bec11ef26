# SPDX-License-Identifier: Apache-2.0
"""A remote in a directory, written after docs/remote-format.md and nothing else."""
import hashlib
import json
import struct


def frame(data, claimed=None):
    """A zstd frame of raw blocks; it claims to hold so many bytes."""
    head = bytes.fromhex("28b52ffd") + b"\xe0" + struct.pack("<Q", claimed or len(data))
    parts = [data[i:i + 65536] for i in range(0, len(data), 65536)] or [b""]
    return head + b"".join(
        struct.pack("<I", len(part) << 3 | (i == len(parts) - 1))[:3] + part
        for i, part in enumerate(parts))


def bomb(size, claimed):
    """A zstd frame of a few bytes that holds @size zeros (a multiple of 128 KiB)."""
    n = size // 131072
    return bytes.fromhex("28b52ffd") + b"\xe0" + struct.pack("<Q", claimed) + b"".join(
        struct.pack("<I", 131072 << 3 | 1 << 1 | (i == n - 1))[:3] + b"\0" for i in range(n))


class Remote:
    """One tree with one name, "one"; every part can be replaced before it is written."""

    def __init__(self, root, object_, text, files):
        """@files: digest -> content"""
        self.root, self.object = root, object_
        self.stored = bytes(32) + frame(text)
        self.text_size = len(text)
        self.files = files
        self.sizes = {}  # of blocks, where they are said to be others
        self.plan = {"format": 1, "object": object_, "trees": [object_]}
        self.tables_size = None

    def put(self, key, data):
        path = self.root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)

    def put_hashed(self, kind, data):
        name = hashlib.sha256(data).hexdigest()
        self.put(f"v1/{kind}/{name[:2]}/{name}", data)
        return name

    def pack(self, blocks):
        """@blocks: stored, codec, size, files of it, object of it; the blocks' places."""
        data, places = b"CSPK" + struct.pack("<HH", 1, 0) + bytes(16), []
        rows = [b"", b"", b""]
        for number, (stored, codec, size, digest, object_) in enumerate(blocks):
            places.append((len(data), len(stored), size, codec))
            rows[0] += struct.pack("<QIIQ", len(data), len(stored), size, codec)
            if digest:
                rows[1] += bytes.fromhex(digest) + struct.pack("<QQIIII", size, 0, number, 0,
                                                               size, 0)
            if object_:
                rows[2] += bytes.fromhex(object_) + struct.pack("<II", number, 0)
            data += stored
        directory = struct.pack("<III", sum(1 for _ in blocks), len(rows[1]) // 64,
                                len(rows[2]) // 40) + b"".join(rows)
        packed = frame(directory)
        data += packed + struct.pack("<II", len(packed), len(directory))
        return data + hashlib.sha256(packed).digest() + b"KPSC", places

    def segment(self, pack, pack_size, places):
        blocks = b"".join(struct.pack("<IIIIQ", 0, stored, size, codec, at)
                          for at, stored, size, codec in places)
        files = b"".join(bytes.fromhex(digest) +
                         struct.pack("<QII", self.sizes.get(digest, len(self.files[digest])),
                                     number, 0)
                         for number, digest in enumerate(sorted(self.files)))
        trees = bytes.fromhex(self.object) + bytes(32) + struct.pack("<Q", len(self.files))
        tables = bytes.fromhex(pack) + struct.pack("<Q", pack_size) + blocks + files + trees
        return b"CSIX" + struct.pack("<HHIIIIII", 1, 0, 1, len(places), len(self.files), 1, 0,
                                     self.tables_size or len(tables)) + self.pack_tables(tables)

    def pack_tables(self, tables):
        return frame(tables)

    def write(self):
        self.put("v1/config", json.dumps({"coppice-remote": 1, "id": "0" * 32, "needs": [],
                                          "files": "fs-verity-sha256"}).encode())
        blocks = [(self.files[digest], 0, self.sizes.get(digest, len(self.files[digest])),
                   digest, None) for digest in sorted(self.files)]
        data, places = self.pack([*blocks, (self.stored, 2, self.text_size, None, self.object)])
        pack = self.put_hashed("p", data)
        self.plan["segments"] = [self.put_hashed("i", self.segment(pack, len(data), places))]
        self.put(f"v1/m/{self.object[:2]}/{self.object}", json.dumps(self.plan).encode())
        self.put("v1/r/one", json.dumps({"format": 1, "ref": "one", "object": self.object,
                                         "created": 0}).encode())
