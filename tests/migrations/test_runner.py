"""The way from nothing to today's tables, and back: on each kind of database."""

from __future__ import annotations

import re
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from alembic.autogenerate import compare_metadata
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Engine, create_mock_engine, inspect
from sqlalchemy.schema import CreateIndex, CreateTable

import migrations
import winnow.db.tables  # noqa: F401 — registers them
from migrations import runner
from winnow.db.base import Base
from winnow.db.session import Database

FOLDER = Path(str(migrations.__file__)).parent
#: PostgreSQL's own views, as one sees them: everything that a table is. Names that it makes up follow from the table's.
_AS_POSTGRESQL_SEES_IT = """
    SELECT 'column', table_name || '.' || column_name, concat_ws(' ', data_type, character_maximum_length, is_nullable,
           column_default, collation_name)
      FROM information_schema.columns WHERE table_schema = 'public' AND table_name <> 'alembic_version'
    UNION ALL SELECT 'index', indexname, indexdef FROM pg_indexes
     WHERE schemaname = 'public' AND tablename <> 'alembic_version'
    UNION ALL SELECT 'constraint', conrelid::regclass::text || '.' || conname, pg_get_constraintdef(oid)
      FROM pg_constraint WHERE connamespace = 'public'::regnamespace AND conrelid::regclass::text <> 'alembic_version'
    ORDER BY 1, 2
"""
_AS_SQLITE_SEES_IT = """
    SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite_%' AND tbl_name <> 'alembic_version'
    ORDER BY 1, 2
"""


@contextmanager
def engine_of(url: str) -> Iterator[Engine]:
    database = Database(url)
    yield database.engine
    database.dispose()


def tables(url: str) -> set[str]:
    with engine_of(url) as engine:
        return set(inspect(engine).get_table_names())


def schema(url: str) -> list[tuple[Any, ...]]:
    """Everything that the database knows of its tables, in its own words."""
    with engine_of(url) as engine, engine.connect() as connection:
        query = _AS_SQLITE_SEES_IT if engine.dialect.name == "sqlite" else _AS_POSTGRESQL_SEES_IT
        return [(kind, name, normalized(said or "")) for kind, name, said in connection.exec_driver_sql(query)]


def test_an_empty_database_becomes_todays_tables(url: str) -> None:
    assert runner.current(url) is None
    assert runner.upgrade(url) is True
    assert runner.current(url) == runner.HEAD
    assert tables(url) == set(Base.metadata.tables) | {"alembic_version"}


def test_migrations_and_tables_do_not_drift(url: str) -> None:
    runner.upgrade(url)
    with engine_of(url) as engine, engine.connect() as connection:
        options = {"compare_type": True, "compare_server_default": True}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, Base.metadata) == []


def test_the_database_itself_sees_no_difference_between_migrations_and_tables(url: str) -> None:
    """Alembic's comparison overlooks conditions of indexes, names, and what becomes of rows that point to one."""
    with engine_of(url) as engine:
        Base.metadata.create_all(engine)
    from_tables = schema(url)
    with engine_of(url) as engine:
        Base.metadata.drop_all(engine)
    assert schema(url) == []
    runner.upgrade(url)
    assert schema(url) == from_tables


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


def test_downgrading_to_base_leaves_nothing_and_the_way_up_is_open_again(url: str) -> None:
    runner.upgrade(url)
    made = schema(url)
    runner.downgrade(url, "base")
    assert tables(url) == {"alembic_version"}
    assert schema(url) == []
    assert runner.current(url) is None
    assert runner.upgrade(url) is True
    assert schema(url) == made


def test_a_second_upgrade_does_nothing_and_loads_no_alembic(url: str) -> None:
    runner.upgrade(url)
    code = (
        "import sys; from migrations import runner;"
        f"assert runner.upgrade({url!r}) is False; print(sorted(m for m in sys.modules if m == 'alembic'))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.stderr) == ("[]", "")


def test_of_two_starts_at_once_one_upgrades_and_the_other_waits_for_it(url: str) -> None:
    code = f"from migrations import runner; print(runner.upgrade({url!r}))"
    both = [
        subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    answers = [process.communicate(timeout=60) for process in both]
    assert [process.returncode for process in both] == [0, 0], answers
    assert "True" in {said.strip() for said, _ in answers}
    assert runner.current(url) == runner.HEAD


@pytest.fixture
def broken_next_step(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A revision after the newest that does half of its work."""
    folder = tmp_path / "migrations"
    shutil.copytree(FOLDER, folder, ignore=shutil.ignore_patterns("__pycache__"))
    (folder / "versions" / "9999_broken.py").write_text(
        f'revision = "9999"\ndown_revision = "{runner.HEAD}"\nbranch_labels = depends_on = None\n'
        "import sqlalchemy as sa\nfrom alembic import op\n"
        "def upgrade():\n"
        '    op.create_table("half", sa.Column("id", sa.Integer()))\n'
        "    op.execute(\"UPDATE workers SET name = 'changed'\")\n"
        '    op.execute("SELECT * FROM no_such_table")\n'
        "def downgrade():\n    pass\n"
    )
    monkeypatch.setattr(runner, "_FOLDER", folder)


def test_a_step_that_fails_half_way_leaves_the_old_revision_and_all_that_was_there(
    url: str, broken_next_step: None
) -> None:
    runner.upgrade(url, runner.HEAD)
    before = schema(url)
    with engine_of(url) as engine, engine.begin() as connection:
        connection.exec_driver_sql("INSERT INTO workers (name, seen_at) VALUES ('w', '2026-01-01 00:00:00')")
    with pytest.raises(Exception, match="no_such_table"):
        runner.upgrade(url, "9999")
    assert runner.current(url) == runner.HEAD
    assert schema(url) == before
    with engine_of(url) as engine, engine.connect() as connection:
        assert connection.exec_driver_sql("SELECT name FROM workers").scalars().all() == ["w"]


def test_a_first_upgrade_that_meets_a_strange_table_leaves_what_was_there(url: str) -> None:
    with engine_of(url) as engine, engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE students (id INTEGER)")
    with pytest.raises(Exception, match="students"):
        runner.upgrade(url)
    assert tables(url) == {"students"}


def test_head_is_the_newest_file() -> None:
    config = Config()
    config.set_main_option("script_location", str(FOLDER))
    config.set_main_option("path_separator", "os")
    assert ScriptDirectory.from_config(config).get_heads() == [runner.HEAD]
