"""Become another program that dies when this one's parent does.

Run as ``python -I -S launch.py PARENT_PID PROGRAM ARGUMENT…``. It is a program of its own, and not a function that runs
between fork and exec, because the supervisor has threads and nothing but exec is safe there.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys

PR_SET_PDEATHSIG = 1


def main() -> None:
    """Ask the kernel to kill this process with its parent (Linux), make sure that it still lives, and exec."""
    parent = int(sys.argv[1])
    if sys.platform == "linux":
        ctypes.CDLL(None, use_errno=True).prctl(PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it died before the request was in force
        sys.exit(1)
    os.execv(sys.argv[2], sys.argv[2:])


if __name__ == "__main__":
    main()
