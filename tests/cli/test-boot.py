#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""test-boot.py COPPICE: `boot`, with a program in QEMU's place that tells how it was called."""
import json
import os
import pathlib
import socket
import struct
import subprocess
import sys
import time
import uuid

sys.dont_write_bytecode = True
sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
from claims import load  # noqa: E402

COPPICE = sys.argv[1]
ESP = "C12A7328-F81F-11D2-BA4B-00A0C93EC93B"
BIOS = "21686148-6449-6E6F-744E-656564454649"
LINUX = "0FC63DAF-8483-4772-8E79-3D69D8477DE4"


testcli = load(pathlib.Path(__file__).resolve().with_name("test-cli.py"))

FAKE = """#!/usr/bin/env python3
import json, os, sys, time
open(os.environ["FAKE_CALLS"], "w").write(json.dumps(sys.argv[1:]))
for text in os.environ.get("FAKE_SAYS", "").split("|"):
    sys.stdout.buffer.write(text.encode().replace(b"~", bytes(1)))
    sys.stdout.flush()
    time.sleep(0.05)
time.sleep(float(os.environ.get("FAKE_SECONDS", "0")))
sys.exit(int(os.environ.get("FAKE_STATUS", "0")))
"""


def disk(path, *types):
    """A disk as far as boot looks at it: a GUID partition table."""
    head = bytearray(64 * 512)
    head[510:512] = b"\x55\xaa"
    head[512:520] = b"EFI PART"
    for number, kind in enumerate(types):
        at = 1024 + 128 * number
        head[at:at + 16] = uuid.UUID(kind).bytes_le
        struct.pack_into("<QQ", head, at + 32, 2048 * (number + 1), 2048 * (number + 2) - 1)
    path.write_bytes(head)
    os.truncate(path, 1 << 20)
    return path


def boot(place, *words, status=0, says="", seconds=0, code=0, before=()):
    """What it printed, and QEMU's words (None: it was not started)."""
    programs = place.top / "programs"
    programs.mkdir(exist_ok=True)
    fake, calls = programs / "qemu-system-x86_64", place.top / "calls"
    fake.write_text(FAKE)
    fake.chmod(0o755)
    calls.unlink(missing_ok=True)
    result = place.run(*before, "boot", "--no-kvm", *words, status=status, environment={
        "PATH": f"{programs}:{os.environ['PATH']}", "FAKE_CALLS": str(calls), "FAKE_SAYS": says,
        "FAKE_SECONDS": str(seconds), "FAKE_STATUS": str(code)})
    return result, json.loads(calls.read_text()) if calls.exists() else None


def refused(place, *words, status=1, **how):
    result, _ = boot(place, *words, status=status, **how)
    line = result.stderr.strip().splitlines()[-1]
    assert line.startswith("coppice: "), result.stderr
    return line


def drive(words, start):
    return next(word for word in words if word.startswith(start))


def what_is_on_the_disk_decides_how_it_is_booted(p):
    bios = disk(p.top / "bios", BIOS, LINUX)
    assert "booted by BIOS" in boot(p, bios)[0].stderr
    _, words = boot(p, bios)
    assert not any("pflash" in word for word in words) and "-kernel" not in words
    esp = disk(p.top / "esp", ESP, LINUX)
    result, words = boot(p, "--firmware", "bios", esp)
    assert "booted by BIOS" in result.stderr and not any("pflash" in word for word in words)
    if pathlib.Path("/usr/share/OVMF/OVMF_CODE_4M.fd").exists():
        result, words = boot(p, esp)
        assert "booted by UEFI" in result.stderr
        assert sum("if=pflash" in word for word in words) == 2
        assert "readonly=on" in drive(words, "if=pflash,format=raw,readonly")
        assert "smm=on" in " ".join(boot(p, "--secure-boot", esp)[1])


def a_kernel_beside_the_disk_is_booted_with_its_command_line(p):
    image = p.top / "image"
    image.mkdir()
    disk(image / "disk.raw", LINUX)
    for name, text in (("vmlinuz", "k"), ("initrd.img", "i"), ("cmdline", "root=x ro\n")):
        (image / name).write_text(text)
    result, words = boot(p, image)
    assert "booted by its kernel directly" in result.stderr
    assert words[words.index("-kernel") + 1] == f"{image}/vmlinuz"
    assert words[words.index("-initrd") + 1] == f"{image}/initrd.img"
    assert words[words.index("-append") + 1] == "root=x ro"
    assert "-kernel" not in boot(p, "--firmware", "bios", image)[1]


def the_image_is_written_to_only_when_asked(p):
    bios = disk(p.top / "a,b", BIOS)
    result, words = boot(p, bios)
    assert "nothing is written" in result.stderr
    assert drive(words, "if=none") == f"if=none,id=disk,format=raw,snapshot=on,file={p.top}/a,,b"
    result, words = boot(p, "--persist", bios)
    assert "nothing is written" not in result.stderr
    assert ",snapshot=off," in drive(words, "if=none")


def options_reach_the_machine(p):
    bios = disk(p.top / "bios", BIOS)
    words = boot(p, "--ssh", "2222", "--memory", "512", "--cpus", "3", bios)[1]
    assert "user,id=net,hostfwd=tcp:127.0.0.1:2222-:22" in words
    assert words[words.index("-cpu") + 1].startswith("max")
    assert words[words.index("-m") + 1] == "512" and words[words.index("-smp") + 1] == "3"
    assert not any("hostfwd" in word for word in boot(p, bios)[1])


def an_expected_text_ends_it_well_wherever_it_is_cut(p):
    bios = disk(p.top / "bios", BIOS)
    start = time.monotonic()
    result, _ = boot(p, "--expect", "all is up", "--timeout", "60", bios, seconds=60,
                     says="~noise all i|s u|p\n|")
    assert time.monotonic() - start < 30
    assert "all is up" in result.stdout
    assert boot(p, "--expect", "up", bios, says="all is up")[0].stdout.endswith("all is up\n")
    assert boot(p, "--expect", "up", bios, says="all is up", before=["-q"])[0].stdout == ""


def a_text_that_does_not_come_is_an_error(p):
    bios = disk(p.top / "bios", BIOS)
    line = refused(p, "--expect", "login:", "--timeout", "1", bios, seconds=60, says="log|in")
    assert "'login:' was not seen within 1 s" in line
    line = refused(p, "--expect", "login:", "--timeout", "60", bios, says="bye")
    assert "switched off before 'login:' was seen" in line
    assert "still running after 1 s" in refused(p, "--timeout", "1", bios, seconds=60)
    assert "QEMU: exit status 3" in refused(p, "--timeout", "60", bios, code=3)


def nothing_of_qemu_is_left_after_a_timeout(p):
    bios = disk(p.top / "bios", BIOS)
    refused(p, "--timeout", "1", bios, seconds=600)
    found = subprocess.run(["pgrep", "-f", f"{p.top}/programs"], capture_output=True, text=True,
                           check=False).stdout
    assert found == "", found


def what_is_missing_is_named(p):
    bios = disk(p.top / "bios", BIOS)
    (p.top / "empty").mkdir()
    line = p.error("-q", "boot", "--no-kvm", "--timeout", "9", bios,
                   environment={"PATH": str(p.top / "empty")})
    assert "install qemu-" in line, line
    assert "no disk image is in this directory" in refused(p, p.top / "empty")
    assert "no-such" in refused(p, p.top / "no-such")
    with socket.socket(socket.AF_UNIX) as listener:
        listener.bind(str(p.top / "socket"))
        assert refused(p, p.top / "socket")
    for size in (0, 100, 1 << 20):
        (p.top / "text").write_bytes(b"t" * size)
        assert "not a disk image" in refused(p, p.top / "text")


def wrong_options_are_told_before_anything_starts(p):
    bios = disk(p.top / "bios", BIOS)
    for words, wanted in ((["--ssh", "0"], "--ssh '0' is not a number from 1 to 65535"),
                          (["--timeout", "x"], "--timeout 'x'"),
                          (["--memory", "9"], "--memory '9'"),
                          (["--cpus", "-1"], "--cpus '-1'"),
                          (["--firmware", "uboot"], "--firmware is auto, uefi or bios"),
                          (["--secure-boot", "--firmware", "bios"], "matter of UEFI")):
        result, called = boot(p, *words, bios, status=2)
        assert wanted in result.stderr and called is None, result.stderr


def a_panic_of_the_guest_is_not_waited_out(p):
    begin = time.monotonic()
    line = refused(p, disk(p.top / "bios", BIOS, LINUX), "--expect", "login:", "--timeout", "60",
                   says="[ 1.0] ---[ end Ker|nel panic - not syncing: no init ]---", seconds=60)
    assert "the guest's kernel panicked before 'login:' was seen" in line, line
    assert time.monotonic() - begin < 30


if __name__ == "__main__":
    sys.exit(testcli.run_claims(globals(), testcli.Place))
