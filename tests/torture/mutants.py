#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""mutants.py BUILD [NAME]...: can the tests fail?

One sync, lock or check is left out at a time (base/mutant.h); at least one of the tests that
speak of it must notice.  First all of them must pass with nothing left out.
"""
import os
import pathlib
import subprocess
import sys
import time

TOP = pathlib.Path(__file__).resolve().parent.parent.parent
TORTURE = TOP / "tests" / "torture"


def unit(name):
    return [f"tests/store/test-store-{name}"]


def script(name, *args):
    return [sys.executable, TORTURE / name, *args]


ARCHIVES = [sys.executable, TOP / "tests/cli/test-archive.py", "COPPICE"]
POWER = ["tests/store/power-cut", TOP / "tests/oracle.py"]
CROWD = script("crowd.py", "--seconds", "30")

MUTANTS = {
    "first-barrier": [POWER, script("power.py", "--cuts", "60")],
    "second-barrier": [script("power.py", "--cuts", "60", "--file-system", "btrfs")],
    "ref-sync": [POWER, script("power.py", "--cuts", "60")],
    "format-sync": [script("power.py", "--cuts", "200", "--file-system", "ext4")],
    **dict.fromkeys(("store-sync", "parent-sync", "meta-sync", "set-barrier", "unset-sync", "settings-barrier",
                     "settings-sync", "eviction-sync"), [script("order.py")]),
    "export-sync": [script("power.py", "--cuts", "200", "--exports", "0.9")],
    "store-lock": [unit("lock"), unit("gc"), CROWD],
    "names-lock": [unit("lock"), unit("ref"), CROWD],
    "stage-lock": [unit("lock")],
    "workdir-lock": [unit("workdir"), CROWD],
    "registration": [unit("gc"), unit("commit"), CROWD],
    "second-look": [unit("gc"), CROWD],
    "publish-check": [unit("commit"), unit("gc"), CROWD],
    "guard": [["tests/engine/test-sandbox"]],
    "changed-source": [unit("staging")],
    "image-digest": [script("flip.py", "--points", "400")],
    "export-digest": [script("flip.py", "--points", "2000")],
    "verify-digest": [script("flip.py", "--points", "400")],
    "heal-digest": [unit("commit"), script("flip.py", "--points", "3000")],
    "resume-digest": [unit("commit"), script("fuzz.py", "--points", "140")],
    "list-digest": [unit("gc"), script("fuzz.py", "--points", "140")],
    "layer-digest": [[*ARCHIVES, "an_image_that_is_not_sound_is_refused"]],
    "end-mark": [[*ARCHIVES, "what_is_cut_off_is_refused"]],
}


def passes(build, command, mutant=None):
    command = [str(build / "coppice") if part == "COPPICE" else str(part) for part in command]
    if command[0].startswith("tests/"):
        command[0] = str(build / command[0])
    env = {**os.environ, "COPPICE": str(build / "coppice"),
           "COPPICE_WRITER": str(build / "tests/torture/torture-writer"),
           "COPPICE_LIBDIR": str(build / "libdir"), "COPPICE_TEST_LIBDIR": str(build / "libdir")}
    env.pop("COPPICE_MUTANT", None)
    if mutant:
        env["COPPICE_MUTANT"] = mutant
    # What waits for ever has noticed, too.
    seconds = 900 if command[0] == sys.executable else 120
    try:
        return subprocess.run(command, env=env, check=False, capture_output=True, timeout=seconds).returncode in (0, 77)
    except subprocess.TimeoutExpired:
        return False


def name_of(command):
    return " ".join(pathlib.Path(str(part)).name for part in command if part not in (sys.executable, "COPPICE"))


def main():
    build = pathlib.Path(sys.argv[1]).resolve()
    wanted = sys.argv[2:] or list(MUTANTS)
    if not (build / "build.ninja").exists():
        subprocess.run(["meson", "setup", build, TOP, "-Dmutants=true", "-Dtests=true"], check=True,
                       stdout=subprocess.DEVNULL)
    units = ["store", "ref", "lock", "workdir", "staging", "commit", "gc"]
    subprocess.run(["ninja", "-C", build, "coppice", "coppice-whole", "tests/store/power-cut",
                    "tests/torture/torture-writer", "tests/engine/test-sandbox", "modules/coppice-guard",
                    "modules/coppice-host-modules", "modules/stages/coppice-stages",
                    *(f"tests/store/test-store-{name}" for name in units)], check=True, stdout=subprocess.DEVNULL)
    sound = {}
    survivors = []
    for mutant in wanted:
        for command in MUTANTS[mutant]:
            key = name_of(command)
            if key not in sound:
                sound[key] = passes(build, command)
            if not sound[key]:
                print(f"{mutant}: {key} fails with nothing left out")
                continue
            begin = time.monotonic()
            if not passes(build, command, mutant):
                print(f"{mutant:16} noticed by {key} ({time.monotonic() - begin:.0f} s)", flush=True)
                break
        else:
            survivors.append(mutant)
            print(f"{mutant:16} NOT NOTICED", flush=True)
    print(f"{len(wanted)} mutants, {len(wanted) - len(survivors)} noticed")
    return 1 if survivors or not all(sound.values()) else 0


if __name__ == "__main__":
    sys.exit(main())
