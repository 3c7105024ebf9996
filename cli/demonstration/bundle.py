"""The exported bundle, run as its user would: unpacked, in an environment with its requirements and nothing else."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
import time
import zipfile
from dataclasses import dataclass
from pathlib import Path

from cli.errors import CommandError

_PIP_SECONDS = 240


@dataclass(frozen=True)
class BundleRun:
    """What ``predict.py`` said. ``isolated`` is false when its requirements could not be installed on their own."""

    folder: Path
    answers: list[str]
    seconds: float
    isolated: bool
    note: str


def unpack(bundle: bytes, name: str, out: Path) -> Path:
    """Keep the bundle under ``out`` and unpack it beside; gives the folder."""
    out.mkdir(parents=True, exist_ok=True)
    archive = out / name
    archive.write_bytes(bundle)
    folder = out / archive.stem
    with zipfile.ZipFile(archive) as members:
        members.extractall(folder)
    return folder


def run(folder: Path, images: list[bytes], environment: Path) -> BundleRun:
    """Install the bundle's requirements into a new environment at ``environment`` and classify ``images`` there.

    Raises:
        CommandError: ``predict.py`` failed.
    """
    python, note = _install(folder, environment)
    rows = "".join(json.dumps({"image": base64.b64encode(image).decode()}) + "\n" for image in images)
    began = time.perf_counter()
    done = subprocess.run(
        [str(python or sys.executable), str(folder / "predict.py"), "--file", "-"],
        input=rows,
        capture_output=True,
        text=True,
        env={},
        cwd=folder,
        check=False,
    )
    seconds = time.perf_counter() - began
    if done.returncode != 0:
        raise CommandError(f"predict.py of the bundle failed: {(done.stderr.strip().splitlines() or ['?'])[-1]}")
    answers = [str(json.loads(line)["label"]) for line in done.stdout.splitlines()]
    return BundleRun(folder, answers, seconds, python is not None, note)


def _install(folder: Path, environment: Path) -> tuple[Path | None, str]:
    python = environment / "bin" / "python"
    pip = [str(python), "-m", "pip", "install", "-qq", "--disable-pip-version-check"]
    for command in (
        [sys.executable, "-m", "venv", str(environment)],
        [*pip, "-r", str(folder / "requirements.txt")],
    ):
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=_PIP_SECONDS, check=False)
        except subprocess.TimeoutExpired:
            return None, "its requirements could not be installed in time, so it ran in Winnow's own environment"
        if done.returncode != 0:
            return None, "its requirements could not be installed (no network?), so it ran in Winnow's own environment"
    return python, "in a virtual environment with only its requirements"
