# SPDX-License-Identifier: Apache-2.0
"""Runs the claims of a test script.

A claim is a function whose only argument is called p: a place of its own, made for it and
closed after it.  Prints cmocka's marks, so that the summary counts claims.
"""
import importlib.util


class Skipped(Exception):
    """Raised by a claim that cannot be tried here."""


def load(path):
    """A script whose name is no module's, as a module."""
    spec = importlib.util.spec_from_file_location(path.stem, path)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def claims(namespace):
    return [value for value in namespace.values()
            if callable(value) and getattr(value, "__code__", None)
            and value.__code__.co_varnames[:1] == ("p",) and value.__code__.co_argcount == 1]


def run_claims(namespace, make_place, only=()):
    """The claims of a module in order, or those named; returns the exit status."""
    failed = 0
    for claim in claims(namespace):
        if only and claim.__name__ not in only:
            continue
        print(f"[ RUN      ] {claim.__name__}", flush=True)
        place = make_place()
        try:
            try:
                claim(place)
            finally:
                place.close()
        except Skipped as why:
            print(f"skipped: {why}\n[  SKIPPED ] {claim.__name__}", flush=True)
        except Exception as problem:  # a claim that breaks has failed, and the next still runs
            failed += 1
            print(f"{type(problem).__name__}: {problem}\n[  FAILED  ] {claim.__name__}", flush=True)
        else:
            print(f"[       OK ] {claim.__name__}", flush=True)
    return 1 if failed else 0
