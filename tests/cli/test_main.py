from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
HEAVY = ("numpy", "pydantic", "sqlalchemy", "fastapi", "httpx", "torch", "sklearn", "celery", "streamlit", "rich")
COMMANDS = (
    *("serve", "label", "demo", "simulate", "compress", "import", "export-labels", "predict", "label-rest"),
    *("export-student", "user", "token", "worker", "migrate", "doctor", "profile", "bench"),
)


def test_the_help_names_every_command(winnow):
    answer = winnow("--help")
    assert answer.returncode == 0
    for command in COMMANDS:
        assert f"  {command} " in answer.stdout


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help(winnow, command):
    answer = winnow(command, "--help")
    assert answer.returncode == 0
    assert "Usage:" in answer.stdout
    assert answer.stderr == ""


def test_the_help_loads_nothing_heavy():
    code = (
        "import sys; sys.argv = ['winnow', '--help']\n"
        "from cli.main import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    answer = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, cwd=ROOT, timeout=60, check=True
    )
    assert answer.stderr.strip() == "[]"


@pytest.mark.parametrize(
    "arguments",
    [
        ["no-such-command"],
        ["serve", "--no-such-option"],
        ["serve", "--workers", "-1"],
        ["serve", "--port", "99999"],
        ["label", "pyproject.toml", "--ui-port", "-1"],
        ["simulate", "--pool", "pyproject.toml", "--test", "pyproject.toml", "--strategy", "magic"],
        ["simulate", "--pool", "pyproject.toml", "--test", "pyproject.toml", "--encoder", "magic"],
        [
            "simulate",
            "--pool",
            "pyproject.toml",
            "--test",
            "pyproject.toml",
            "--ranker",
            "student",
            "--student",
            "none",
        ],
        ["label", "no-such-file.csv"],
        ["import", "1"],
        ["simulate", "--pool", "x"],
        ["user", "add", "a@example.org", "--role", "owner"],
        ["export-labels", "1", "--format", "xml"],
        ["export-labels", "1", "--json", "--token", "x"],
        ["import", "1", "pyproject.toml", "--mapping", "{", "--token", "x"],
        ["label", "pyproject.toml", "--labels", "a,a"],
        ["compress", "--steps", "magic"],
        ["export-student", "1", "--out", "x.zip", "--share", "0.1", "--token", "x"],
    ],
)
def test_wrong_usage_ends_with_2(winnow, arguments):
    answer = winnow(*arguments)
    assert answer.returncode == 2
    assert answer.stdout == ""
    assert "Traceback" not in answer.stderr


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["import", "1", "pyproject.toml"], "no token"),
        (["export-labels", "1", "--token", "x", "--url", "http://127.0.0.1:9"], "127.0.0.1:9"),
        (["token", "create", "nobody@example.org", "laptop"], "nobody@example.org"),
        (["serve", "--host", "203.0.113.1", "--port", "0"], "203.0.113.1"),
    ],
)
def test_anything_else_ends_with_1_and_one_line(winnow, arguments, says):
    answer = winnow(*arguments)
    assert answer.returncode == 1
    assert answer.stdout == ""
    assert answer.stderr.startswith("winnow: ")
    assert answer.stderr.count("\n") == 1
    assert says in answer.stderr


def test_a_setting_that_cannot_be_is_named(winnow):
    answer = winnow("migrate", WINNOW_PORT="many")
    assert answer.returncode == 1
    assert "WINNOW_PORT" in answer.stderr
    assert answer.stderr.count("\n") == 1


def test_migrate_can_run_twice_and_says_what_it_did(winnow):
    first, second = winnow("migrate", "--json"), winnow("migrate", "--json")
    assert (first.returncode, second.returncode) == (0, 0)
    assert json.loads(first.stdout)["from"] is None
    assert json.loads(second.stdout)["from"] == json.loads(first.stdout)["to"]
