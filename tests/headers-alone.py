#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""headers-alone.py TOP CXX CC...: every header compiles by itself.

Public headers also as strict C17 and as C++, since that is how others include them.
"""
import pathlib
import shutil
import subprocess
import sys


def compiles(command, header):
    source = f"#include {header}\n"
    result = subprocess.run(command + ["-fsyntax-only", "-"], input=source, text=True,
                            capture_output=True, check=False)
    if result.returncode:
        print(f"{' '.join(command)}: {header}:\n{result.stderr}")
    return result.returncode == 0


def main():
    top, cxx, cc = pathlib.Path(sys.argv[1]), sys.argv[2], sys.argv[3:]
    places = [f"-I{top}/include", f"-I{top}/src"]
    good = True
    n = 0
    for header in sorted((top / "src").rglob("*.h")):
        name = header.relative_to(top / "src")
        good &= compiles([*cc, "-x", "c", "-std=gnu17", "-D_GNU_SOURCE", "-Wall", "-Werror", *places],
                         f'"{name}"')
        n += 1
    for header in sorted((top / "include").rglob("*.h")):
        name = f"<{header.relative_to(top / 'include')}>"
        good &= compiles([*cc, "-x", "c", "-std=c17", "-pedantic", "-Wall", "-Werror", places[0]], name)
        if shutil.which(cxx):
            good &= compiles([cxx, "-x", "c++", "-std=c++17", "-Wall", "-Werror", places[0]], name)
        n += 1
    print(f"{n} headers")
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
