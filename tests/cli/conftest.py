from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]
ROOT = Path(__file__).parents[2]


@pytest.fixture
def winnow(tmp_path: Path) -> Run:
    """Run the command line as a user does, on a data folder of the test's own."""

    def run(*arguments: str, **environment: str) -> subprocess.CompletedProcess[str]:
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("WINNOW_")}
        return subprocess.run(
            [sys.executable, "-m", "cli.main", *arguments],
            capture_output=True,
            text=True,
            cwd=ROOT,
            env={**inherited, "WINNOW_DATA": str(tmp_path / "data"), **environment},
            timeout=120,
            check=False,
        )

    return run
