"""A copy is the whole project, and what can be done with the original can be done with it."""

from __future__ import annotations

import re
from bisect import bisect_right
from typing import Any

import pytest
from sqlalchemy import func, select, text

from tests.winnow.copying.sample import AWKWARD, META, Sample, audit_actions, everything, other_projects, people
from winnow import jobs
from winnow.copying.carrier import CopyRefused
from winnow.copying.plan import LEFT_OUT, NUMBERED
from winnow.copying.transfer import Transfer, snapshot
from winnow.db.base import Base
from winnow.db.session import Database
from winnow.db.tables import Job, User
from winnow.label_rows import stream_labels
from winnow.pool import get_content
from winnow.purge import purge_project

POINTS_TO = {  # said once more, and not taken from the plan that is tested
    "item_id": "items",
    "label_id": "labels",
    "superseded_by": "labels",
    "job_id": "jobs",
    "user_id": "users",
    "created_by": "users",
    "requested_by": "users",
}
NAMED_IN_DETAIL = {"job": "jobs", "user": "users"}


class Naming:
    """Says what the ids of a project's rows point to: the n-th row of its table, or an e-mail."""

    def __init__(self, rows: dict[str, list[dict[str, Any]]], project_id: int, emails: dict[int, str]) -> None:
        self.project = project_id
        self.places: dict[str, dict[int, Any]] = {
            name: {row["id"]: n for n, row in enumerate(of)} for name, of in rows.items() if of and "id" in of[0]
        }
        self.places["users"] = emails
        self.labels = [row["id"] for row in rows["labels"]]

    def row(self, name: str, row: dict[str, Any]) -> dict[str, Any]:
        return {column: self.value(name, column, value) for column, value in row.items()}

    def value(self, name: str, column: str, value: Any) -> Any:
        if value is None:
            return None
        if column == "project_id" or (name, column) == ("projects", "id"):
            assert value == self.project
            return "the project"
        if column == "id":
            return self.places[name][value]
        if column in POINTS_TO:
            return self.places[POINTS_TO[column]][value]
        if column in ("cutoff", "ranked_cutoff", "behind_cutoff"):
            return f"{bisect_right(self.labels, value)} labels"
        if column == "path":
            return self.path(value)
        if (name, column) == ("audit", "detail"):
            return {k: self.places[NAMED_IN_DETAIL[k]][int(v)] if k in NAMED_IN_DETAIL else v for k, v in value.items()}
        if name == "jobs" and column in ("payload", "checkpoint", "result"):
            return self.paths_in(value)
        return value

    def paths_in(self, value: Any) -> Any:
        if isinstance(value, dict):
            return {name: self.paths_in(part) for name, part in value.items()}
        return self.path(value) if isinstance(value, str) and "/" in value else value

    def path(self, path: str) -> str:
        upload = re.fullmatch(rf"incoming/{self.project}/\d+-(\w+)", path)
        if upload is not None:
            return f"the upload {upload[1]}"
        assert f"projects/{self.project}/" in path
        path = path.replace(f"projects/{self.project}/", "projects/P/")
        attempt = re.fullmatch(r"projects/P/(\w+)/(\d+)-(\d+)(.*)", path)
        if attempt is not None:
            return f"{attempt[1]} of job {self.places['jobs'][int(attempt[2])]}, attempt {attempt[3]}: {attempt[4]}"
        bundle = re.fullmatch(r"(/v1/projects/P/students/1/exports)/(\d+)", path)
        return path if bundle is None else f"{bundle[1]} of job {self.places['jobs'][int(bundle[2])]}"


def described(database: Database, project_id: int) -> dict[str, list[dict[str, Any]]]:
    """All rows of a project, with what ids point to instead of the ids."""
    rows = everything(database, project_id)
    naming = Naming(rows, project_id, people(database))
    told = {name: [naming.row(name, row) for row in of] for name, of in rows.items()}
    for name in ("members", "queue"):
        told[name].sort(key=repr)
    return told


def as_copied(told: dict[str, list[dict[str, Any]]]) -> dict[str, list[dict[str, Any]]]:
    """What a project is expected to be after a copy: without what is left out, and with no job at work."""
    expected = {name: rows for name, rows in told.items() if name not in LEFT_OUT}
    jobs = [dict(job) for job in told["jobs"]]
    for job in jobs:
        if job["state"] in ("queued", "running"):
            job |= {"worker": None, "lease_until": None, "hinted_at": None}
            a_round_that_ran = job["kind"] == "round" and job["state"] == "running"
            job["state"] = "canceled" if a_round_that_ran else "queued"
    return expected | {"jobs": jobs}


def without_the_note(told: dict[str, list[dict[str, Any]]], copies: int = 1) -> dict[str, list[dict[str, Any]]]:
    """Without the audit entries that say that it was copied, and without the words about the job that was canceled."""
    assert [entry["action"] for entry in told["audit"][-copies:]] == ["project.copy"] * copies
    kept = {name: rows for name, rows in told.items() if name not in LEFT_OUT} | {"audit": told["audit"][:-copies]}
    jobs = [dict(job) for job in kept["jobs"]]
    for job in jobs:
        if job["state"] == "canceled":
            assert job["finished_at"] is not None
            assert "another one waits" in job["message"]
            job |= {"finished_at": None, "message": ""}
    return kept | {"jobs": jobs}


def test_a_copy_is_the_whole_project(ends):
    before = described(ends.source, ends.sample.project_id)
    assert all(before[name] for name in before), "the sample has a row in every table"
    copied = ends.copy()
    assert without_the_note(described(ends.target, copied.id)) == as_copied(before)
    assert described(ends.source, ends.sample.project_id) == before
    assert copied.rows == {name: len(rows) for name, rows in as_copied(before).items()}


def test_what_is_hard_to_keep_is_kept(ends):
    copied = ends.copy()
    rows = {row["key"]: row for row in everything(ends.target, copied.id)["items"]}
    assert rows["awkward"]["text"] == AWKWARD
    assert rows["awkward"]["meta"] == META
    first = everything(ends.target, copied.id)["items"][0]
    with ends.target.read() as session:
        assert get_content(session, copied.id, first["id"]) == ("image/png", bytes(range(256)))


def test_ids_are_new_and_keep_their_order_beside_what_is_there_already(ends):
    other_projects(ends.target, 4)
    untouched = {n: described(ends.target, n) for n in range(1, 5)}
    copied = ends.copy()
    assert {n: described(ends.target, n) for n in range(1, 5)} == untouched
    rows = everything(ends.target, copied.id)
    assert [row["number"] for row in rows["items"]] == list(range(len(rows["items"])))
    assert min(row["id"] for row in rows["items"]) > 12
    before = as_copied(described(ends.source, ends.sample.project_id))
    assert without_the_note(described(ends.target, copied.id)) == before


def test_from_sqlite_to_postgresql_and_back_is_where_it_was(to_postgresql, make_database, tmp_path):
    from tests.winnow.copying.conftest import Ends
    from tests.winnow.copying.sample import storage

    original = described(to_postgresql.source, to_postgresql.sample.project_id)
    there = to_postgresql.copy()
    sample = to_postgresql.sample
    back_again = make_database("sqlite")
    back = Ends(to_postgresql.target, back_again, to_postgresql.to_storage, storage(tmp_path / "back"), sample)
    sample.project_id = there.id
    home = back.copy()
    assert without_the_note(described(back_again, home.id), copies=2) == as_copied(original)
    files = {path: to_postgresql.from_storage.get_bytes(path) for path in to_postgresql.from_storage.list()}
    kept = {back.to_storage.get_bytes(path) for path in back.to_storage.list()}
    assert kept == set(files.values()) - {b"left by an attempt"}


def test_what_people_said_is_exported_as_before(ends):
    def history(database: Database, project_id: int) -> list[dict[str, Any]]:
        pages = stream_labels(database, project_id, everything=True)
        return [{k: v for k, v in row.items() if k not in ("id", "item")} for page in pages for row in page]

    before = history(ends.source, ends.sample.project_id)
    copied = ends.copy()
    assert history(ends.target, copied.id) == before
    assert len(before) >= 10


def test_no_door_is_opened_at_the_target(ends):
    ends.copy(everybody=True)
    with ends.target.read() as session:
        for name in LEFT_OUT:
            assert session.scalar(select(func.count()).select_from(Base.metadata.tables[name])) == 0


def test_in_a_target_without_projects_ids_stay_what_they_are_and_new_rows_come_after_them(ends):
    before = everything(ends.source, ends.sample.project_id)
    copied = ends.copy()
    after = everything(ends.target, copied.id)
    assert copied.id == ends.sample.project_id == 3
    for name in NUMBERED:
        ids = [row["id"] for row in before[name]]
        assert [row["id"] for row in after[name]][: len(ids)] == ids
    other_projects(ends.target, 2)
    assert described(ends.target, 4)["projects"][0]["name"] == "other 0"
    assert min(row["id"] for row in everything(ends.target, 4)["items"]) > max(row["id"] for row in after["items"])


def test_a_project_that_was_purged_at_the_target_comes_again_under_a_number_that_nobody_had(ends):
    before = as_copied(described(ends.source, ends.sample.project_id))
    first = ends.copy()
    assert first.id == ends.sample.project_id == 3
    used = {name: {row["id"] for row in everything(ends.target, 3)[name]} for name in NUMBERED}
    left = audit_actions(ends.target, 3)
    purge_project(ends.target, ends.to_storage, 3)
    second = ends.copy()
    assert second.id > 3
    assert without_the_note(described(ends.target, second.id)) == before
    again = everything(ends.target, second.id)
    assert {name: used[name] & {row["id"] for row in again[name]} for name in NUMBERED} == {n: set() for n in NUMBERED}
    assert audit_actions(ends.target, 3) == left
    assert {path.split("/")[1] for path in ends.to_storage.list()} == {str(second.id)}


def test_a_purged_project_that_had_the_number_does_not_stand_in_the_way(ends):
    other_projects(ends.target, 3)
    for n in (1, 2, 3):
        purge_project(ends.target, ends.to_storage, n)
    with snapshot(ends.source) as seen:
        transfer = Transfer(seen, ends.target, ends.from_storage, ends.to_storage)
        transfer.prepare([1, 2, 3])
        assert [transfer.copy(n).id for n in (1, 2, 3)] == [4, 5, 6]
    assert audit_actions(ends.target, 4) == ["project.create", "project.copy"]


def test_the_rest_of_a_copy_that_did_not_end_keeps_its_ids_too(ends):
    before = everything(ends.source, ends.sample.project_id)
    with snapshot(ends.source) as seen:
        transfer = Transfer(seen, ends.target, ends.from_storage, ends.to_storage)
        transfer.prepare([1])
        transfer.copy(1)
    copied = ends.copy()
    assert copied.id == ends.sample.project_id
    after = everything(ends.target, copied.id)
    assert [row["id"] for row in after["items"]] == [row["id"] for row in before["items"]]
    with ends.target.write() as session:
        session.execute(text("UPDATE projects SET order_key = 'another' WHERE id = 1"))
    with snapshot(ends.source) as seen:
        transfer = Transfer(seen, ends.target, ends.from_storage, ends.to_storage)
        transfer.prepare([2])
        assert transfer.copy(2).id > copied.id


def test_projects_that_lie_among_each_other_all_keep_their_ids(ends):
    everybody = {n: described(ends.source, n) for n in (1, 2)}
    with snapshot(ends.source) as seen:
        transfer = Transfer(seen, ends.target, ends.from_storage, ends.to_storage)
        transfer.prepare([3, 1, 2])
        assert [transfer.copy(n).id for n in (3, 1, 2)] == [3, 1, 2]
    assert {n: without_the_note(described(ends.target, n)) for n in (1, 2)} == {
        n: as_copied(told) for n, told in everybody.items()
    }


def test_what_somebody_holds_they_hold_at_the_target(ends):
    held = {row.item_id for row in ends.sample.live()}
    copied = ends.copy()
    there = moved(ends, copied)
    assert {row.item_id for row in there.live()} == held
    assert len(held) >= 2


def moved(ends, copied) -> Sample:
    """The sample's people and project as they are at the target."""
    ids = {email: user_id for user_id, email in people(ends.target).items()}
    users = [ids[f"u{n}@example.org"] for n in range(3)]
    return Sample(ends.target, ends.sample.settings, copied.id, users)


def test_labeling_goes_on_and_undo_and_replay_work(ends):
    copied = ends.copy()
    there = moved(ends, copied)
    before = there.project
    numbers = {row["id"]: row["number"] for row in everything(ends.target, copied.id)["items"]}
    first_items = [item.id for item in there.items()]
    # The same request again gets the answer of the first time.
    with ends.target.read() as session:
        answered = session.execute(
            select(Base.metadata.tables["label_requests"]).where(text("request_id = 'two'"))
        ).one()
    replayed = there.label(0, first_items[0], "ham", request_id="two")
    assert replayed == answered.label_id
    assert there.project.n_labels == before.n_labels
    # It is served as before, and new rows get ids of their own.
    batch = there.claim(1, 30)
    handed = [numbers[held.item_id] for held in batch.items]
    assert len(handed) == len(set(handed)) > 5
    said = there.label(1, batch.items[0].item_id, "ham", lease=str(batch.items[0].lease_id))
    assert said > max(row["id"] for row in everything(ends.target, copied.id)["labels"][:-1])
    assert there.project.n_labels == before.n_labels + 1
    assert there.undo(1, said).item_id == batch.items[0].item_id
    assert there.project.n_labels == before.n_labels
    # An undo of what was said at the source.
    old = next(row for row in there.labels() if row.user_id == there.users[1] and row.superseded_at is None)
    assert there.undo(1, old.id).item_id == old.item_id
    there.add({"text": "new", "key": "new"})
    assert there.items()[-1].number == before.next_number


def test_work_that_had_not_ended_waits_to_be_taken_up_from_its_checkpoint(ends):
    copied = ends.copy()
    assert copied.canceled_jobs == 1
    with ends.target.write() as session:
        waiting = session.scalars(select(Job).where(Job.project_id == copied.id, Job.state == "queued")).all()
        assert [(job.kind, job.attempt, job.checkpoint) for job in waiting] == [
            ("import", 1, {"position": [1, 2], "created": 7}),
            ("round", 0, None),
        ]
        payload = waiting[0].payload
        claimed = jobs.claim(session, waiting[0].id, "w:1:2", ends.sample.settings, "import")
        assert claimed is not None
        assert claimed.attempt == 2
    assert ends.to_storage.get_bytes(payload["path"]) == b"x,y\n1"


def test_a_round_that_runs_alone_waits_at_the_target_with_what_it_has_done(ends):
    with ends.source.write() as session:
        session.execute(text("UPDATE jobs SET state = 'canceled' WHERE kind = 'round' AND state = 'queued'"))
    steps = f"projects/{ends.sample.project_id}/scratch/{ends.sample.jobs['roundrunning']}-3/teacher.npz"
    ends.from_storage.put_bytes(b"half a round", steps)
    copied = ends.copy()
    (job,) = [
        row for row in everything(ends.target, copied.id)["jobs"] if row["state"] == "queued" and row["kind"] == "round"
    ]
    assert ends.to_storage.get_bytes(job["checkpoint"]["steps"]["teacher"]) == b"half a round"


def test_people_are_who_has_their_email_there_and_keep_their_own_password(ends):
    with ends.target.write() as session:
        session.add(User(email="boss@example.org", password_hash="b", role="owner"))
        session.add(User(email="u1@example.org", password_hash="theirs there", role="member"))
    copied = ends.copy()
    assert (copied.people.matched, copied.people.lowered) == (["u1@example.org"], ["u0@example.org"])
    with ends.target.read() as session:
        known = {user.email: user for user in session.scalars(select(User))}
    assert set(known) == {"boss@example.org", *(f"u{n}@example.org" for n in range(3)), "removed@example.org"}
    assert known["u1@example.org"].password_hash == "theirs there"
    assert known["u0@example.org"].password_hash == "$argon2id$of-the-owner"
    assert {user.role for email, user in known.items() if email != "boss@example.org"} == {"member"}
    assert known["u2@example.org"].disabled_at is not None
    members = everything(ends.target, copied.id)["members"]
    assert {(row["user_id"], row["role"]) for row in members} == {
        (known["u0@example.org"].id, "manager"),
        (known["u1@example.org"].id, "annotator"),
        (known["u2@example.org"].id, "viewer"),
    }


def test_where_nobody_has_an_account_roles_are_kept_and_everybody_may_come(ends):
    copied = ends.copy(everybody=True)
    assert copied.people.lowered == []
    with ends.target.read() as session:
        roles = {user.email: user.role for user in session.scalars(select(User))}
    assert (roles["u0@example.org"], roles["u1@example.org"]) == ("owner", "admin")
    assert "other0@example.org" in roles


def test_a_second_copy_is_refused_until_it_is_asked_for(ends):
    first = ends.copy()
    with pytest.raises(CopyRefused, match=f"is at the target already, as {first.id}: .* --again makes another"):
        ends.copy()
    second = ends.copy(again=True)
    assert second.id != first.id
    before = as_copied(described(ends.source, ends.sample.project_id))
    assert without_the_note(described(ends.target, second.id)) == before
    assert audit_actions(ends.target, second.id)[-1] == "project.copy"


def test_what_is_written_at_the_source_meanwhile_is_not_in_the_copy_and_does_not_disturb_it(ends):
    with snapshot(ends.source) as seen:
        before = as_copied(described(ends.source, ends.sample.project_id))
        ends.sample.label(2, ends.sample.items()[9].id, "ham")
        ends.sample.add({"text": "late", "key": "late"})
        transfer = Transfer(seen, ends.target, ends.from_storage, ends.to_storage)
        transfer.prepare([ends.sample.project_id])
        copied = transfer.copy(ends.sample.project_id)
    assert without_the_note(described(ends.target, copied.id)) == before


def test_a_project_that_is_being_purged_is_refused(ends):
    with ends.source.write() as session:
        session.add(Job(project_id=ends.sample.project_id, kind="purge", state="queued", payload={}))
    with pytest.raises(CopyRefused, match="is being purged"):
        ends.copy()
