"""The way from nothing to today's tables, and back."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import create_mock_engine, inspect
from sqlalchemy.schema import CreateIndex, CreateTable

import migrations
import winnow.db.tables  # noqa: F401 — registers them
from migrations import runner
from winnow.db.base import Base
from winnow.db.session import Database


@pytest.fixture
def url(tmp_path: Path) -> str:
    return f"sqlite:///{tmp_path / 'made' / 'winnow.db'}"


def tables(url: str) -> set[str]:
    database = Database(url)
    try:
        return set(inspect(database.engine).get_table_names())
    finally:
        database.dispose()


def test_an_empty_database_becomes_todays_tables(url: str) -> None:
    assert runner.current(url) is None
    assert runner.upgrade(url) is True
    assert runner.current(url) == runner.HEAD
    assert tables(url) == set(Base.metadata.tables) | {"alembic_version"}


def test_migrations_and_tables_do_not_drift(url: str) -> None:
    runner.upgrade(url)
    database = Database(url)
    with database.read() as session:
        context = MigrationContext.configure(session.connection(), opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []
    database.dispose()


def normalized(statement: str) -> str:
    """A statement without the width of its blanks and, for a table, the order of its constraints."""
    one_line = re.sub(r"\s+", " ", statement).strip().rstrip(";")
    if not one_line.startswith("CREATE TABLE"):
        return one_line
    head, _, body = one_line.partition("(")
    parts = re.split(r", (?![^(]*\))", body.rpartition(")")[0].strip())
    return f"{head}({', '.join(sorted(parts))})"


@pytest.mark.parametrize("dialect", ["sqlite", "postgresql"])
def test_both_databases_get_the_statements_that_the_tables_say(dialect: str) -> None:
    engine = create_mock_engine(f"{dialect}+psycopg://" if dialect == "postgresql" else "sqlite://", lambda *_: None)
    wanted = set()
    for table in Base.metadata.sorted_tables:
        wanted.add(normalized(str(CreateTable(table).compile(dialect=engine.dialect))))
        wanted |= {normalized(str(CreateIndex(index).compile(dialect=engine.dialect))) for index in table.indexes}
    written = {
        normalized(statement)
        for statement in re.sub(r"(?m)^--.*$", "", runner.sql(dialect)).split(";")
        if re.match(r"\s*CREATE (UNIQUE )?(TABLE|INDEX)", statement) and "alembic_version" not in statement
    }
    assert written == wanted


def test_downgrading_to_base_leaves_nothing(url: str) -> None:
    runner.upgrade(url)
    runner.downgrade(url, "base")
    assert tables(url) == {"alembic_version"}
    assert runner.current(url) is None
    assert runner.upgrade(url) is True


def test_a_second_upgrade_does_nothing_and_loads_no_alembic(url: str) -> None:
    runner.upgrade(url)
    code = (
        "import sys; from migrations import runner;"
        f"assert runner.upgrade({url!r}) is False; print(sorted(m for m in sys.modules if m == 'alembic'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_two_starts_at_once_upgrade_once(url: str) -> None:
    code = f"from migrations import runner; print(runner.upgrade({url!r}))"
    both = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    answers = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0], answers
    assert runner.current(url) == runner.HEAD


def test_a_move_that_fails_leaves_what_was_there(url: str) -> None:
    database = Database(url)
    with database.write() as session:
        session.connection().exec_driver_sql("CREATE TABLE students (id INTEGER)")
    database.dispose()
    with pytest.raises(Exception, match="students"):
        runner.upgrade(url)
    assert tables(url) == {"students"}


def test_head_is_the_newest_file() -> None:
    config = Config()
    config.set_main_option("script_location", str(Path(str(migrations.__file__)).parent))
    config.set_main_option("path_separator", "os")
    assert ScriptDirectory.from_config(config).get_heads() == [runner.HEAD]
