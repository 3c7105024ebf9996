"""The whole gate: lint beside the tests, a failure of either is one of the gate, and what was said is shown."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parents[2] / "scripts" / "test.sh"


@pytest.fixture
def gate(tmp_path: Path) -> Path:
    """A repository with the script, whose other parts only say that they ran."""
    (tmp_path / "scripts").mkdir()
    shutil.copy(SCRIPT, tmp_path / "scripts")
    (tmp_path / ".venv" / "bin").mkdir(parents=True)
    for name in ("setup.sh", "install_test_packages.sh"):
        (tmp_path / "scripts" / name).write_text(f"echo {name} >>order\n")
    (tmp_path / "scripts" / "lint.sh").write_text('echo "lint says so" && exit "$LINT"\n')
    python = tmp_path / ".venv" / "bin" / "python"
    python.write_text('#!/bin/sh\necho "$* [${PYTHONDONTWRITEBYTECODE-unset}]" >>order\nexit "$PYTEST"\n')
    python.chmod(0o755)
    return tmp_path


@pytest.mark.parametrize(
    ("lint", "tests", "says"),
    [
        (0, 0, ""),
        (1, 0, "test: failed: lint\n"),
        (0, 1, "test: failed: pytest\n"),
        (1, 1, "test: failed: lint pytest\n"),
    ],
)
def test_a_failure_of_either_part_is_one_of_the_gate(gate: Path, lint: int, tests: int, says: str) -> None:
    environment = {**os.environ, "LINT": str(lint), "PYTEST": str(tests), "PYTHONDONTWRITEBYTECODE": "1"}
    done = subprocess.run(
        ["/bin/sh", "scripts/test.sh", "tests/api", "-x"],
        cwd=gate,
        env={**environment, "TMPDIR": str(gate)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (int(bool(says)), says)
    assert done.stdout == "lint says so\n"
    *before, pytest_ran = (gate / "order").read_text().splitlines()
    assert before == ["setup.sh", "install_test_packages.sh"]
    assert pytest_ran.startswith("-m pytest -n ")
    assert pytest_ran.endswith(" tests/api -x [unset]")
    assert sorted(path.name for path in gate.iterdir()) == [".venv", "order", "scripts"], "nothing is left behind"
