"""The documents say everything that there is, and nothing else."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
import typer.main

from api.app import create_app
from cli.main import app as command_line
from models import regularisation, teachers
from sampler import auto_constants
from sampler.strategies import strategy_names
from winnow.db.session import Database
from winnow.settings import Settings
from worker import diffused

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PACKAGES = ("winnow", "sampler", "models", "predictor", "worker", "api", "client", "ui", "cli", "bench")
_NOT_SETTINGS = {"WINNOW_URL", "WINNOW_TOKEN", "WINNOW_DEBUG"} | {
    "WINNOW_TORCH_INDEX",
    "WINNOW_TEST_REQUIRE",
    "WINNOW_TEST_EXAMPLES",
    "WINNOW_TEST_POSTGRESQL_URL",
    "WINNOW_TEST_REDIS_URL",
    "WINNOW_TEST_RABBITMQ_URL",
    "WINNOW_TEST_S3_URL",
    "WINNOW_BENCH_DATA",
    "WINNOW_API_URL",
    "WINNOW_UI_HOST",
    "WINNOW_ENTRY_DIR",
}


def commands(group, path="winnow"):
    """Every command below ``group`` with its options, as ``(path, [--option, …])``."""
    for name, command in group.commands.items():
        if hasattr(command, "commands"):
            yield from commands(command, f"{path} {name}")
        else:
            options = [
                option
                for parameter in command.params
                for option in parameter.opts
                if option.startswith("--") and option != "--help"
            ]
            yield f"{path} {name}", options


ALL_COMMANDS = dict(commands(typer.main.get_command(command_line)))


@pytest.mark.parametrize("command", sorted(ALL_COMMANDS))
def test_every_command_and_option_is_documented(command):
    page = (DOCS / "cli.md").read_text()
    group = " ".join(command.split()[:2])
    sections = [part for part in re.split(r"^## ", page, flags=re.MULTILINE) if part.startswith(group)]
    assert sections, f"docs/cli.md has no section for {command}"
    text = "\n".join(sections)
    missing = [option for option in ALL_COMMANDS[command] if f"`{option}`" not in text and f"`{option} " not in text]
    assert missing == [], f"docs/cli.md does not name these options of {command}"


def test_no_option_is_documented_that_is_not_there():
    known = {option for options in ALL_COMMANDS.values() for option in options} | {"--help"}
    named = set(re.findall(r"`(--[a-z][a-z-]+)", (DOCS / "cli.md").read_text()))
    assert named - known == set()


def test_every_setting_is_documented_with_its_default_and_no_other():
    page = (DOCS / "settings.md").read_text()
    documented = set(re.findall(r"`(WINNOW_[A-Z_0-9]+)", page))
    settings = {f"WINNOW_{name.upper()}": field for name, field in Settings.model_fields.items()}
    assert documented - _NOT_SETTINGS == set(settings)
    for variable, field in settings.items():
        row = next(line for line in page.splitlines() if line.startswith(f"| `{variable}` "))
        if isinstance(field.default, int | float | str):
            shown = row.split("|")[2].split("`")[1]
            same = shown == field.default if isinstance(field.default, str) else float(shown) == float(field.default)
            assert same, f"docs/settings.md gives {shown} as the default of {variable}"


@pytest.fixture(scope="module")
def openapi(tmp_path_factory):
    settings = Settings(data=tmp_path_factory.mktemp("data"))
    database = Database(settings.resolved_database_url)
    yield create_app(settings, database=database, send_hint=lambda kind, job: None).openapi()
    database.dispose()


def test_every_call_is_documented_and_no_other(openapi):
    there = {f"{method.upper()} {path}" for path, calls in openapi["paths"].items() for method in calls}
    documented = set(re.findall(r"\| `((?:GET|POST|PATCH|PUT|DELETE) [^`]+)`", (DOCS / "api.md").read_text()))
    assert documented == there


def test_every_paper_that_is_cited_is_in_the_bibliography():
    known = set(re.findall(r"^\| (\w+) \|", (DOCS / "bibliography.md").read_text(), flags=re.MULTILINE))
    cited = {
        key
        for package in PACKAGES
        for file in (ROOT / package).rglob("*.py")
        for group in re.findall(r"\(([a-z]+\d{4}\w*(?:, [a-z]+\d{4}\w*)*)\)", file.read_text())
        for key in group.split(", ")
    }
    assert cited - known == set()
    assert "coates2011" in cited


@pytest.mark.parametrize("page", [ROOT / "README.md", *sorted(DOCS.rglob("*.md"))], ids=lambda page: page.name)
def test_links_between_documents_lead_somewhere(page):
    targets = re.findall(r"\]\(([^)#:]+)(?:#[^)]*)?\)", page.read_text())
    assert [target for target in targets if not (page.parent / target).exists()] == []


def test_every_query_strategy_is_documented_and_no_other():
    """``python -m bench.strategies_doc`` writes the page; its first table is the guide."""
    guide = (DOCS / "strategies.md").read_text().split("\n## ")[0]
    assert tuple(re.findall(r"^\| `(\w+)` \|", guide, flags=re.MULTILINE)) == strategy_names()


def test_the_license_is_the_apache_license_in_full():
    text = (ROOT / "LICENSE").read_text()
    assert "Apache License" in text
    assert "END OF TERMS AND CONDITIONS" in text


def test_benchmarks_that_are_documented_are_there():
    page = (DOCS / "benchmarks.md").read_text()
    for module in re.findall(r"python -m (bench\.[a-z_.]+)", page):
        path = ROOT / module.replace(".", "/")
        assert path.with_suffix(".py").exists() or (path / "__main__.py").exists()
    folder = ROOT / "bench" / "scenarios"
    scenarios = {file.stem for file in folder.glob("*.py")} | {
        file.parent.name for file in folder.glob("*/__main__.py")
    }
    scenarios -= {"__init__", "story"}
    assert scenarios == set(re.findall(r"bench\.scenarios\.([a-z_]+)", page))


CONSTANTS = {
    **{name: value for name, value in vars(auto_constants).items() if name.isupper()},
    **{name: value for name, value in vars(regularisation).items() if name.isupper() and not name.startswith("_")},
    "REGROWTH": teachers.REGROWTH,
    "MOST_ROWS": diffused.MOST_ROWS,
    "OUTGROWN": diffused.OUTGROWN,
}


def test_every_constant_of_auto_is_documented_with_its_value_and_no_other():
    rows = re.findall(r"^\| `([A-Z_]+)` \| ([^|]+) \|", (DOCS / "auto.md").read_text(), flags=re.MULTILINE)
    assert dict(rows) == {
        name: ", ".join(map(str, value)) if isinstance(value, tuple) else str(value)
        for name, value in CONSTANTS.items()
    }
