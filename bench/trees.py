# SPDX-License-Identifier: Apache-2.0
"""The trees that are measured on."""
import shutil

from measure import COPPICE, TOP, Run, remove, warm


def debian_tree(work):
    """A tree of more than 30,000 entries and 1 GB: the packages of bench/big.yaml, unpacked."""
    tree = work / "tree"
    store = work / "store-packages"
    if not (work / "tree.done").exists():
        remove(tree)
        tree.mkdir(parents=True)
        shutil.copy(TOP / "bench" / "big.yaml", work / "big.yaml")
        Run([COPPICE, "--store", store, "lock", work / "big.yaml"])
        for package in sorted((store / "sources" / "org.osbuild.files").iterdir()):
            Run(["dpkg-deb", "-x", package, tree])
        (work / "tree.done").touch()
    warm(tree)
    return tree


def many_files(work, number):
    """@number small files, each different, a thousand to a directory."""
    tree = work / f"files-{number}"
    done = work / f"files-{number}.done"
    if not done.exists():
        remove(tree)
        for d in range(number // 1000):
            folder = tree / f"{d // 32:02d}" / f"directory-{d:04d}"
            folder.mkdir(parents=True)
            for f in range(1000):
                (folder / f"file-number-{f:04d}").write_bytes(b"%d/%d" % (d, f) * 7)
        done.touch()
    return tree
