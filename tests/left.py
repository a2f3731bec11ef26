# SPDX-License-Identifier: Apache-2.0
"""What runs may leave behind."""
import pathlib


def held(top):
    """Mounts, loop devices and processes that have to do with the path @top."""
    found = []
    for mounts in pathlib.Path("/proc").glob("[0-9]*/mountinfo"):
        try:
            found += [f"{mounts}: {line}" for line in mounts.read_text().splitlines() if str(top) in line]
        except OSError:  # a process that has ended meanwhile
            pass
    for backing in pathlib.Path("/sys/block").glob("loop*/loop/backing_file"):
        try:
            text = backing.read_text()
        except OSError:
            continue
        found += [f"{backing}: {text}"] if top.name in text else []
    for line in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        try:
            words = line.read_bytes()
        except OSError:
            continue
        found += [f"{line}: {words}"] if str(top).encode() in words else []
    return found
