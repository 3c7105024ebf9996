"""The whole gate: lint beside the tests, a failure of either is one of the gate, and what was said is shown."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
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


def test_what_tests_share_is_started_once_in_one_process(tmp_path: Path) -> None:
    shutil.copy(SCRIPT.parents[1] / "conftest.py", tmp_path)
    contract = tmp_path / "tests" / "contract"
    contract.mkdir(parents=True)
    notes = f"import os\ndef note(what): open({str(tmp_path / 'ran')!r}, 'a').write(f'{{what}} {{os.getpid()}}\\n')\n"
    for name in ("one", "two"):
        lines = [f"def test_{i}(): note({name!r})" for i in range(6)]
        (tmp_path / "tests" / f"test_{name}.py").write_text(notes + "\n".join(lines))
        (contract / f"test_{name}.py").write_text(
            f"import pytest\n{notes}"
            "@pytest.fixture(scope='session', params=['embedded', 'redis', 'rabbitmq'])\n"
            "def deployment(request): return request.param\n"
            "@pytest.mark.parametrize('other', ['a', 'b'])\n"
            "def test_it(deployment, other): note(deployment)\n"
        )
    flags = ["-n", "2", "--dist", "loadscope", "--no-loadscope-reorder", "--import-mode=importlib"]
    subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", *flags, "--rootdir", str(tmp_path), "tests"],
        cwd=tmp_path,
        env={**os.environ, "WINNOW_TEST_REQUIRE": ""},
        capture_output=True,
        check=True,
    )
    processes: dict[str, list[str]] = {}
    for line in (tmp_path / "ran").read_text().splitlines():
        group, process = line.split()
        processes.setdefault(group, []).append(process)
    assert {group: (len(ran), len(set(ran))) for group, ran in processes.items()} == {
        "one": (6, 1), "two": (6, 1), "embedded": (4, 1), "redis": (4, 1), "rabbitmq": (4, 1),
    }  # fmt: skip
    assert len({ran[0] for ran in processes.values()}) == 2
