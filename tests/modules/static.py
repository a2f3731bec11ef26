#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""static.py STAGES ASSEMBLERS ARCHIVE...: the programs of the modules are alone in the world.

They ask for no shared library and hold no user or host lookup; our own objects (ARCHIVE)
call nothing that would load code or data of the tree they run in; a stage runs in a root that
holds nothing but itself.
"""
import json
import os
import re
import subprocess
import sys
import tempfile

LOOKUPS = re.compile(r"^(getpw|getgr|getaddrinfo|gethostby|getservby|getspnam|__nss_\w*lookup)")
LOADERS = re.compile(r"^(dlopen|dlsym|dlmopen|setlocale|newlocale|nl_langinfo|iconv|getpw|getgr|getaddrinfo"
                     r"|gethostby|getservby|getspnam|initgroups)")


def symbols(path, option):
    out = subprocess.run(["nm", option, path], stdout=subprocess.PIPE, check=True, text=True).stdout
    return {line.split()[-1].split("@")[0] for line in out.splitlines() if len(line.split()) >= 2}


def check_symbols(program, known):
    elf = subprocess.run(["readelf", "-d", "-l", program], stdout=subprocess.PIPE, check=True, text=True).stdout
    if "NEEDED" in elf or "INTERP" in elf:
        yield f"{program} needs a shared library or an interpreter"
    defined = symbols(program, "--defined-only")
    if known not in defined:
        yield f"the symbols of {program} cannot be read, so nothing is proved"
    yield from (f"{program} holds {name}" for name in sorted(defined) if LOOKUPS.match(name))


def check_archives(archives):
    for archive in archives:
        wanted = symbols(archive, "--undefined-only")
        yield from (f"{os.path.basename(archive)} calls {name}" for name in sorted(wanted) if LOADERS.match(name))


def check_empty_root(program):
    with tempfile.TemporaryDirectory() as scratch:
        tree, arguments = scratch + "/tree", scratch + "/arguments"
        os.mkdir(tree)
        with open(arguments, "w") as file:
            json.dump({"tree": "/run/osbuild/tree", "options": {"hostname": "alone"}}, file)
        command = ["bwrap", "--die-with-parent", "--bind", tree, "/run/osbuild/tree", "--ro-bind", arguments,
                   "/run/osbuild/api/arguments", "--ro-bind", program, "/run/osbuild/bin/org.osbuild.hostname"]
        probe = subprocess.run(["bwrap", "--ro-bind", "/", "/", "true"], stderr=subprocess.DEVNULL)
        if probe.returncode != 0:
            print("skipped: bubblewrap does not work here, so no empty root was tried")
            sys.exit(77)
        run = subprocess.run(command + ["--", "/run/osbuild/bin/org.osbuild.hostname"], stdout=subprocess.PIPE,
                             stderr=subprocess.STDOUT, text=True)
        if run.returncode != 0:
            yield f"in an empty root: exit status {run.returncode}: {run.stdout.strip()}"
        elif open(tree + "/etc/hostname").read() != "alone\n":
            yield "in an empty root: it did nothing"


def main():
    program, assemblers, *archives = sys.argv[1:]
    problems = [*check_symbols(program, "stage_copy"), *check_symbols(assemblers, "assembler_tar"),
                *check_archives(archives)]
    for problem in problems:
        print(problem)
    if not problems:
        problems = list(check_empty_root(program))
        print("\n".join(problems))
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(main())
