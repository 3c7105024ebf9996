"""winnow copy, as a person types it."""

from __future__ import annotations

import json
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.engine import make_url

from bench.servers.postgresql import create_database, drop_database
from migrations.runner import HEAD
from tests.winnow.copying.sample import Sample, storage
from winnow.db.session import Database
from winnow.settings import Settings


@pytest.fixture
def laptop(tmp_path: Path) -> str:
    """A data folder as a laptop has it, with a project that people have worked on; gives its database's URL."""
    from migrations import runner

    settings = Settings(data=tmp_path / "laptop")
    url = settings.resolved_database_url
    runner.upgrade(url)
    database = Database(url)
    Sample.worked_on(database, settings, storage(tmp_path / "laptop" / "storage"))
    database.dispose()
    return url


@pytest.fixture
def server(postgresql_server, ran_on) -> Iterator[str]:
    """An empty PostgreSQL database."""
    ran_on(postgresql_server.title)
    url = create_database(postgresql_server.url, "copy")
    yield url
    drop_database(postgresql_server.url, url)


def failed(done) -> str:
    assert (done.returncode, done.stdout) == (1, "")
    assert len(done.stderr.splitlines()) == 1, done.stderr
    return done.stderr.removeprefix("winnow: ").strip()


def test_everything_moves_from_a_laptop_to_a_server(winnow, laptop, server, tmp_path):
    done = winnow("copy", laptop, server, "--all", "--to-storage", (tmp_path / "files").as_uri(), "--json")
    assert done.returncode == 0, done.stderr
    answer = json.loads(done.stdout)
    assert answer["ok"] is True
    assert [(project["name"], project["from_id"], project["id"]) for project in answer["projects"]] == [
        ("other 0", "1", "1"),
        ("other 1", "2", "2"),
        ("mail", "3", "3"),
    ]
    mail = answer["projects"][2]
    assert mail["tables"]["items"] == {"copied": 23, "equal": 23}
    assert mail["files"]["copied"] == 6
    assert answer["projects"][0]["people"]["made"][:3] == ["other0@example.org", "other1@example.org", "u0@example.org"]
    assert str(make_url(server).password) not in done.stdout + done.stderr
    again = winnow("copy", laptop, server, "--all", "--to-storage", (tmp_path / "files").as_uri())
    assert "The project 'other 0' is at the target already, as 1" in failed(again)


def test_a_person_reads_a_table_of_what_was_copied_and_compared(winnow, laptop, tmp_path):
    there = f"sqlite:///{tmp_path / 'elsewhere' / 'winnow.db'}"
    done = winnow("copy", laptop, there, "--project", "mail", "--project", "1")
    assert done.returncode == 0, done.stderr
    assert "mail: 3 → 3" in done.stdout
    assert ["items", "23", "23"] in [line.split() for line in done.stdout.splitlines()]
    assert (tmp_path / "elsewhere" / "storage" / "projects" / "3").is_dir()
    assert "a job that ran while another of its kind waited was copied as canceled" in done.stderr


def test_the_storage_of_this_installation_s_own_database_is_known(winnow, laptop, server, tmp_path):
    done = winnow("copy", laptop, server, "--project", "mail", WINNOW_DATABASE_URL=server)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "data" / "storage" / "projects" / "3").is_dir()


@pytest.mark.parametrize("arguments", [[], ["--all", "--project", "mail"]])
def test_it_has_to_be_said_what_to_copy(winnow, arguments):
    done = winnow("copy", "sqlite:////a.db", "sqlite:////b.db", *arguments)
    assert done.returncode == 2
    assert "--project" in done.stderr


def test_what_cannot_be_copied_is_said_in_a_line(winnow, laptop, server, tmp_path):
    nowhere = tmp_path / "nowhere.db"
    assert failed(winnow("copy", f"sqlite:///{nowhere}", server, "--all")) == (
        f"there is no database {nowhere}: correct FROM-URL"
    )
    assert not nowhere.exists()
    assert "FROM-URL and TO-URL are one database" in failed(winnow("copy", laptop, laptop, "--all"))
    said = failed(winnow("copy", laptop, server, "--all"))
    assert said.startswith("where are the files of postgresql")
    assert "--to-storage" in said
    shared = (tmp_path / "laptop" / "storage").as_uri()
    assert "would share one storage" in failed(winnow("copy", laptop, server, "--all", "--to-storage", shared))
    files = (tmp_path / "files").as_uri()
    said = failed(winnow("copy", laptop, server, "--project", "male", "--to-storage", files))
    assert said == "no project 'male' in the source: there are 1 (other 0), 2 (other 1), 3 (mail)"


def test_what_came_before_it_failed_is_said_and_the_rest_comes_later_with_its_ids(winnow, laptop, server, tmp_path):
    files = tmp_path / "files"
    foreign = files / "projects" / "3" / "students" / "1-1" / "model"
    foreign.parent.mkdir(parents=True)
    foreign.write_bytes(b"theirs")
    done = winnow("copy", laptop, server, "--all", "--to-storage", files.as_uri(), "--json")
    assert (done.returncode, done.stdout) == (1, "")
    said = done.stderr.splitlines()[-1]
    assert said.startswith("winnow: project 3 (mail): The target's storage holds files in projects/3,")
    assert said.endswith("(copied: 1 (other 0), 2 (other 1); for the rest: --project 3)")
    foreign.unlink()
    done = winnow("copy", laptop, server, "--project", "3", "--to-storage", files.as_uri(), "--json")
    assert done.returncode == 0, done.stderr
    assert [(project["from_id"], project["id"]) for project in json.loads(done.stdout)["projects"]] == [("3", "3")]


def test_files_that_are_missing_are_said_before_anything_comes(winnow, laptop, server, tmp_path):
    shutil.rmtree(tmp_path / "laptop" / "storage" / "projects" / "3" / "features")
    files = (tmp_path / "files").as_uri()
    said = failed(winnow("copy", laptop, server, "--all", "--to-storage", files))
    assert said.startswith("Of the project 'mail': projects/3/features/")
    database = Database(server)
    with database.read() as session:
        assert session.scalar(text("SELECT count(*) FROM projects")) == 0
    database.dispose()


def test_a_storage_that_cannot_be_used_is_said_to_the_operator(winnow, laptop, object_store, ran_on, tmp_path):
    ran_on(object_store.title)
    there = f"sqlite:///{tmp_path / 'elsewhere' / 'winnow.db'}"
    bucket = ["--to-storage", "s3://winnow-no-such-bucket"]
    said = failed(winnow("copy", laptop, there, "--all", *bucket, **object_store.environment))
    assert said.startswith("The storage at s3://winnow-no-such-bucket is not there: make the bucket first")
    settings = {"WINNOW_STORAGE_URL": "s3://winnow-no-such-bucket", **object_store.environment}
    (storage,) = [
        check
        for check in json.loads(winnow("doctor", "--json", **settings).stdout)["checks"]
        if check["name"] == "storage"
    ]
    assert (storage["ok"], "make the bucket first" in storage["detail"]) == (False, True)


def test_a_source_that_is_damaged_is_the_one_that_is_named(winnow, laptop, server, tmp_path):
    file = tmp_path / "laptop" / "winnow.db"
    with closing(sqlite3.connect(file)) as connection:
        (page,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = 'labels'").fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
    with file.open("r+b") as damaged:
        damaged.seek((page - 1) * size)
        damaged.write(b"\xff" * size)
    done = winnow("copy", laptop, server, "--project", "mail", "--to-storage", (tmp_path / "files").as_uri())
    assert (done.returncode, done.stdout) == (1, "")
    said = done.stderr.splitlines()[-1]
    assert said.startswith(f"winnow: {file} is not a SQLite database, or it is damaged")


def test_a_wrong_password_is_said_and_not_shown(winnow, laptop, server, tmp_path):
    url = make_url(server).set(password="s3cret").render_as_string(hide_password=False)
    said = failed(winnow("copy", laptop, url, "--all", "--to-storage", (tmp_path / "files").as_uri()))
    assert "does not let the user 'winnow' in" in said
    assert "s3cret" not in said


@pytest.mark.parametrize("end", ["source", "target"])
def test_databases_of_different_schemas_are_refused(winnow, laptop, tmp_path, end):
    target = f"sqlite:///{tmp_path / 'target' / 'winnow.db'}"
    winnow("copy", laptop, target, "--project", "1")
    database = Database(laptop if end == "source" else target)
    with database.write() as session:
        session.execute(text("UPDATE alembic_version SET version_num = '0000'"))
    database.dispose()
    said = failed(winnow("copy", laptop, target, "--project", "2"))
    assert f"is at schema 0000, {HEAD} is needed: run 'winnow migrate' with WINNOW_DATABASE_URL set to it" in said


def test_a_source_that_others_use_is_copied_with_a_warning(winnow, laptop, server, tmp_path):
    files = (tmp_path / "files").as_uri()
    winnow("copy", laptop, server, "--all", "--to-storage", files)
    database = Database(server)
    with database.read() as session:
        session.execute(text("SELECT 1"))
        back = f"sqlite:///{tmp_path / 'back' / 'winnow.db'}"
        done = winnow("copy", server, back, "--project", "mail", "--from-storage", files, "--json")
    database.dispose()
    assert done.returncode == 0, done.stderr
    assert "the source is in use" in json.loads(done.stdout)["warnings"][0]


def test_doctor_describes_the_database_server(winnow, server):
    winnow("migrate", WINNOW_DATABASE_URL=server)
    checks = json.loads(winnow("doctor", "--json", WINNOW_DATABASE_URL=server).stdout)["checks"]
    (database,) = [check for check in checks if check["name"] == "database"]
    assert database["ok"] is True
    assert "PostgreSQL" in database["detail"]
    assert "UTF8" in database["detail"]
    assert "connections free of 44" in database["detail"]
    assert str(make_url(server).password) not in database["detail"]


def test_doctor_says_that_a_database_has_no_tables_yet(winnow, server):
    done = winnow("doctor", WINNOW_DATABASE_URL=server)
    assert done.returncode == 1
    assert f"is at schema nothing, {HEAD} is the newest: run 'winnow migrate'" in done.stdout
