#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""summary.py BUILD: what `meson test` wrote down, counted and told in a few lines.

A unit test program counts as many tests as it says; any other as one.  A skipped test is
named with its reason; where CI is set it counts as failed.  What is absent is named, too.
A program may run its tests as several users: what ran as one of them is not skipped.  Ends with
"N passed, N failed" (", N skipped" where there are any) and fails if a test did or if none ran.
"""
import json
import os
import pathlib
import re
import sys

# What a machine need not have, like another program to compare with: said, and never counted.
ABSENT = re.compile(r"^\[  ABSENT  \] (.*)$", re.M)
MARK = re.compile(r"^\[\s*(OK|FAILED|SKIPPED|ERROR)\s*\] (?!test)(.*)$", re.M)


def results(log):
    for line in log.read_text().splitlines():
        if line.strip():
            yield json.loads(line)


def count(test):
    """(passed, failed names, skipped names) of one test program."""
    text = (test.get("stdout") or "") + (test.get("stderr") or "")
    name = test["name"].split(":")[-1].strip()
    result = test["result"]
    marks = [(kind, what.strip()) for kind, what in MARK.findall(text)]
    passed = sum(kind == "OK" for kind, _ in marks)
    failed = sorted({what for kind, what in marks if kind in ("FAILED", "ERROR")})
    ran = {what for kind, what in marks if kind == "OK"}
    skipped = [what for kind, what in marks if kind == "SKIPPED" and what not in ran]
    skipped = [what for what in dict.fromkeys(skipped) if "test(s)" not in what]
    failed = [f"{name}: {what}" for what in failed if "test(s)" not in what]
    skipped = [f"{name}: {what}" for what in skipped]
    if result == "SKIP":
        last = text.strip().splitlines()
        return 0, [], [f"{name}: {last[-1] if last else 'no reason given'}"]
    if result not in ("OK", "EXPECTEDFAIL"):
        return passed, failed or [f"{name}: {result}"], skipped
    return (passed if marks else 1), [], skipped


def main():
    build = pathlib.Path(sys.argv[1])
    log = build / "meson-logs" / "testlog.json"
    passed, failed, skipped, slow, absent = 0, [], [], [], []
    for test in results(log) if log.exists() else []:
        p, f, s = count(test)
        absent += ABSENT.findall(test.get("stdout") or "")
        passed, failed, skipped = passed + p, failed + f, skipped + s
        slow.append((test.get("duration", 0), test["name"]))
        if f:
            print((test.get("stdout") or "")[-6000:])
            print((test.get("stderr") or "")[-6000:])
    for what in absent:
        print(f"not here: {what}")
    for what in skipped:
        print(f"skipped: {what}")
    for what in failed:
        print(f"failed: {what}")
    for duration, name in sorted(slow, reverse=True)[:3]:
        print(f"{duration:6.1f} s  {name}")
    if os.environ.get("CI") and skipped:
        print("in CI a skipped test counts as failed")
        failed, skipped = failed + skipped, []
    if passed + len(failed) == 0:
        print("no test ran")
        return 1
    more = f", {len(skipped)} skipped" if skipped else ""
    print(f"{passed} passed, {len(failed)} failed{more}")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
