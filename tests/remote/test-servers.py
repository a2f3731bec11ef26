#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""test-servers.py COPPICE [CLAIM...]: sharing through real servers, healthy and broken.

One Ceph gateway serves all claims.  Without its packages what needs it is skipped.
"""
import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).parent))
import crowd_claims  # noqa: E402
import fault_claims  # noqa: E402
import s3_claims  # noqa: E402
from remotelib import run_claims  # noqa: E402

if __name__ == "__main__":
    sys.exit(run_claims({**vars(s3_claims), **vars(fault_claims), **vars(crowd_claims)}))
