"""What goes wrong leaves nothing behind, and is said."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest
from sqlalchemy import func, select, text

from tests.winnow.copying.sample import everything
from winnow.copying.carrier import CopyRefused
from winnow.copying.files import check_apart
from winnow.copying.transfer import CopyDiffers, Transfer, snapshot
from winnow.db.base import Base
from winnow.db.tables import Item, Project, User

ROOT = Path(__file__).parents[3]


def nothing_is_there(ends) -> bool:
    with ends.target.read() as session:
        rows = sum(session.scalar(select(func.count()).select_from(t)) or 0 for t in Base.metadata.sorted_tables)
    return (rows, ends.to_storage.list()) == (0, [])


@pytest.mark.parametrize(
    ("table", "change", "column"),
    [
        ("items", "text = text || ' '", "text"),
        ("items", "meta = json_set(meta, '$.a[0]', 2)", "meta"),
        ("items", "is_open = NOT is_open", "is_open"),
        ("labels", "seconds = seconds * (1 + 3e-16)", "seconds"),
        ("labels", "created_at = substr(created_at, 1, 25) || '0'", "created_at"),
        ("labels", "user_id = NULL", "user_id"),
        ("contents", "data = x'00'", "data"),
        ("ledger", "cpu_seconds = 0.3", "cpu_seconds"),
        ("projects", "ranked_cutoff = ranked_cutoff - 1", "ranked_cutoff"),
        ("users", "password_hash = 'x'", "password_hash"),
    ],
)
def test_a_value_that_comes_back_changed_is_found_and_nothing_is_kept(to_sqlite, table, change, column):
    with to_sqlite.target.write() as session:
        key = Base.metadata.tables[table].primary_key.columns.keys()[0]
        session.execute(
            text(
                f"CREATE TRIGGER spoil AFTER INSERT ON {table} BEGIN "
                f"UPDATE {table} SET {change} WHERE {key} = NEW.{key}; END"
            )
        )
    with pytest.raises(CopyDiffers) as differs:
        to_sqlite.copy()
    assert {(found.table, found.column) for found in differs.value.found} == {(table, column)}
    assert nothing_is_there(to_sqlite)


def test_a_row_that_is_not_there_afterwards_is_found(to_sqlite):
    with to_sqlite.target.write() as session:
        session.execute(text("CREATE TRIGGER lose AFTER INSERT ON queue BEGIN DELETE FROM queue WHERE rank = 2; END"))
    with pytest.raises(CopyDiffers, match=r"queue .*: only one side has it"):
        to_sqlite.copy()
    assert nothing_is_there(to_sqlite)


def test_a_value_that_the_target_cannot_hold_is_said_without_its_content(to_postgresql):
    secret = "a key of somebody " * 40
    with to_postgresql.source.write() as session:
        item = session.scalars(select(Item).where(Item.project_id == to_postgresql.sample.project_id)).first()
        item.key = secret  # SQLite does not look at lengths
    with pytest.raises(CopyRefused, match=r"The target refuses a row of items \(value too long") as refused:
        to_postgresql.copy()
    assert "somebody" not in refused.value.detail
    assert nothing_is_there(to_postgresql)


def test_a_file_that_is_missing_is_named_and_nothing_is_kept(ends):
    shard = everything(ends.source, ends.sample.project_id)["feature_shards"][0]["path"]
    ends.from_storage.delete(shard)
    with pytest.raises(CopyRefused, match=f"{shard} is not in the source's storage. Is that the right one"):
        ends.copy()
    assert nothing_is_there(ends)


def test_a_file_that_is_missing_is_noticed_before_anything_is_written(ends):
    shard = everything(ends.source, ends.sample.project_id)["feature_shards"][0]["path"]
    student = everything(ends.source, ends.sample.project_id)["students"][0]["path"]
    kept = {path: ends.from_storage.get_bytes(path) for path in ends.from_storage.list()}
    for lost in (shard, student, ends.sample.upload):
        ends.from_storage.delete(lost)
        with snapshot(ends.source) as seen:
            transfer = Transfer(seen, ends.target, ends.from_storage, ends.to_storage)
            with pytest.raises(CopyRefused, match=f"Of the project 'mail': {lost} is not in the source's storage"):
                transfer.prepare([1, ends.sample.project_id])
        for path, data in kept.items():
            ends.from_storage.put_bytes(data, path)
    assert nothing_is_there(ends)


def test_a_file_that_goes_while_it_is_copied_is_named_and_nothing_is_kept(ends):
    with snapshot(ends.source) as seen:
        transfer = Transfer(seen, ends.target, ends.from_storage, ends.to_storage)
        transfer.prepare([ends.sample.project_id])
        ends.from_storage.delete(ends.sample.upload)
        with pytest.raises(CopyRefused, match=f"^{ends.sample.upload} is not in the source's storage.*run the copy"):
            transfer.copy(ends.sample.project_id)
    assert nothing_is_there(ends)


def test_a_file_that_comes_to_be_another_is_found_and_nothing_is_kept(ends, monkeypatch):
    whole = type(ends.to_storage).open

    def lossy(storage, path, mode="rb"):
        return (
            whole(ends.from_storage, ends.spoiled, "rb")
            if mode == "rb" and storage is ends.to_storage
            else whole(storage, path, mode)
        )

    ends.spoiled = ends.sample.upload
    monkeypatch.setattr(type(ends.to_storage), "open", lossy)
    with pytest.raises(CopyRefused, match="gives back other bytes"):
        ends.copy()
    assert nothing_is_there(ends)


def test_two_databases_never_share_a_storage(ends):
    with pytest.raises(CopyRefused, match="would share one storage"):
        check_apart(ends.from_storage, ends.from_storage)
    check_apart(ends.from_storage, ends.to_storage)
    assert ends.to_storage.list() == []


def test_a_storage_that_belongs_to_another_database_is_not_written_to(ends):
    ends.to_storage.put_bytes(b"theirs", f"projects/{ends.sample.project_id}/students/1-1/model")
    with pytest.raises(CopyRefused, match="Is it another database's storage"):
        ends.copy()
    assert ends.to_storage.get_bytes(f"projects/{ends.sample.project_id}/students/1-1/model") == b"theirs"


def test_one_copy_at_a_time_goes_into_a_postgresql_database(to_postgresql):
    from winnow.copying.rows import begin_writing
    from winnow.db.session import connection_of

    with to_postgresql.target.write() as other:
        assert begin_writing(connection_of(other))
        with pytest.raises(CopyRefused, match="Another copy into this database is under way"):
            to_postgresql.copy()
    assert to_postgresql.copy().id


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.winnow.copying.sample import storage
from winnow.copying import transfer
from winnow.copying.files import FileCopy
from winnow.db.session import Database

source, target, start, end, project, after = sys.argv[1:]
seen = 0
def die(*_):
    global seen
    seen += 1
    if seen > int(after):
        os.kill(os.getpid(), signal.SIGKILL)
whole = FileCopy._copy
def copy(self, file):
    whole(self, file)
    die()
FileCopy._copy = copy
with transfer.snapshot(Database(source)) as connection:
    moving = transfer.Transfer(connection, Database(target), storage(Path(start)), storage(Path(end)), report=die)
    moving.prepare([int(project)])
    moving.copy(int(project))
"""


@pytest.mark.kill
@pytest.mark.parametrize("after", [20, 42])
def test_a_copy_that_is_killed_leaves_nothing_and_the_next_one_clears_its_files_away(ends, tmp_path, after):
    ends.sample.add(*({"text": f"more {n}"} for n in range(2_000)))  # so that there is something to be in the middle of
    arguments = [ends.source.url, ends.target.url, str(tmp_path / "from"), str(tmp_path / "to")]
    done = subprocess.run(
        [sys.executable, "-c", KILLED, *arguments, str(ends.sample.project_id), str(after)],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == -9, done.stderr
    with ends.target.read() as session:
        assert session.scalar(select(func.count()).select_from(Project)) == 0
        assert session.scalar(select(func.count()).select_from(User)) == 0
    copied = ends.copy()
    assert copied.rows["items"] == 2_023
    folders = (f"projects/{copied.id}/", f"incoming/{copied.id}/")
    needed = {path for path in ends.to_storage.list() if path.startswith(folders)}
    assert set(ends.to_storage.list()) == needed
    assert len(needed) == copied.files.n == 6


def test_files_of_a_copy_that_was_killed_go_also_when_its_project_gets_another_number(ends):
    ends.to_storage.put_bytes(b"{}", "copies/77")
    ends.to_storage.put_bytes(b"left behind", "projects/77/students/1-1/model")
    ends.copy()
    assert not any(path.startswith(("copies", "projects/77")) for path in ends.to_storage.list())


def test_a_mark_that_outlived_its_copy_takes_nothing_with_it(ends):
    copied = ends.copy()
    ends.to_storage.put_bytes(b"{}", f"copies/{copied.id}")
    before = set(ends.to_storage.list())
    with snapshot(ends.source) as seen:
        transfer = Transfer(seen, ends.target, ends.from_storage, ends.to_storage, again=True)
        transfer.prepare([ends.sample.project_id])
        transfer.copy(ends.sample.project_id)
    assert before - set(ends.to_storage.list()) == {f"copies/{copied.id}"}
