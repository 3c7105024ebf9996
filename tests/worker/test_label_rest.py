"""Labelling the rest as a job, on both databases."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from tests.predictor.bundles import text_bundle
from tests.worker.service import Service
from winnow import jobs, labels, model_labels, pool, pool_predictions, recount, registry
from winnow.attempt_files import put_folder
from winnow.db.tables import Item, Job, Label, Project, Student
from winnow.errors import Conflict, NotFound
from winnow.intake import RowReader
from winnow.label_rows import standing_for_training, stream_labels
from winnow.stats import project_stats
from worker.base import run_job
from worker.tasks import label_rest, label_undo

N = 400


def text_of(n: int) -> str:
    """Three of four texts say what they are; of the others the student knows nothing and says spam."""
    return f"{('spam', 'ham', 'spam', 'word')[n % 4]} a{n}b"


def add_student(service: Service, project: int, version: int, folder: Path) -> None:
    path = f"projects/{project}/students/{version}-1"
    put_folder(service.storage, text_bundle(folder, ["spam", "ham"]), f"{path}/serving")
    with service.database.write() as session:
        student = Student(
            project_id=project, version=version, round=version, family="any", path=path, labels=2, metrics={}, recipe={}
        )
        registry.add_student(session, student, promoted=True)


def say(service: Service, project: int, answers: dict[int, dict[str, Any]]) -> None:
    with service.database.write() as session:
        entries = [{"item": str(item), **answer} for item, answer in answers.items()]
        found = labels.write_labels(session, pool.locked_project(session, project), service.user_id, entries)
        assert not found[1], found[1]


def items(service: Service, project: int, split: str) -> dict[int, str]:
    with service.database.read() as session:
        rows = session.execute(select(Item.id, Item.text).where(Item.project_id == project, Item.split == split))
        return {item: text or "" for item, text in rows}


@pytest.fixture
def project(service: Service, tmp_path: Path) -> int:
    """Its holdout is labelled: what says what it is, is that; all else is ham, which the student gets wrong."""
    made = service.make_project(holdout=0.5, batch_size=1000)
    service.add_rows(made, [{"text": text_of(n)} for n in range(N)])
    add_student(service, made, 1, tmp_path / "student")
    held = items(service, made, "holdout")
    say(service, made, {item: {"label": "spam" if text.startswith("spam") else "ham"} for item, text in held.items()})
    with service.database.write() as session:
        for job in session.scalars(select(Job)):
            job.state = "canceled"
    return made


def ask(service: Service, project: int, **changes: Any) -> Job:
    wanted = {"alpha": 0.05, "confidence": 0.95, "dry_run": False, **changes}
    with service.database.write() as session:
        student = registry.get_student(session, project, "current")
        model_labels.request_run(session, project, student, user_id=service.user_id, **wanted)
    assert service.work() == ["succeeded"]
    return service.jobs("label-rest")[-1]


def by_models(service: Service, project: int) -> dict[int, Label]:
    with service.database.read() as session:
        wanted = select(Label).where(Label.project_id == project, Label.source == "model")
        return {label.item_id: label for label in session.scalars(wanted.where(Label.superseded_at.is_(None)))}


def undo(service: Service, project: int, run: Job) -> dict[str, Any]:
    with service.database.write() as session:
        model_labels.request_undo(session, project, run.id, service.user_id)
    assert service.work() == ["succeeded"]
    return service.jobs("label-undo")[-1].result or {}


def test_what_the_student_is_sure_of_is_accepted_and_counts_nowhere(service: Service, project: int) -> None:
    with service.database.read() as session:
        before = service.project(project)
        trained_on = standing_for_training(session, project)
    sure = {item for item, text in items(service, project, "pool").items() if not text.startswith("word")}
    dry = ask(service, project, dry_run=True).result
    assert dry is not None
    assert (dry["accepted"], dry["left"]) == (len(sure), before.n_open)
    assert dry["coverage"] == pytest.approx(len(sure) / before.n_open)
    assert dry["errors"] == 0
    assert dry["bound"] <= 0.05
    assert dry["measured_on"] == "holdout"
    assert by_models(service, project) == {}

    run = ask(service, project)
    assert run.result == {**dry, "dry_run": False}
    written = by_models(service, project)
    assert set(written) == sure
    texts = items(service, project, "pool")
    assert all(label.value == texts[item].split()[0] for item, label in written.items())
    assert {(label.mechanism, label.student_version, label.user_id) for label in written.values()} == {
        ("rest", 1, None)
    }
    with service.database.write() as session:
        assert recount.differences(session, project) == {}
        now = standing_for_training(session, project)
        stats = project_stats(session, session.get_one(Project, project))
    assert (now.numbers == trained_on.numbers).all()
    assert stats["model_labels"] == len(sure)
    assert (stats["labeled"], stats["remaining"]) == (before.n_labeled, before.n_open)
    assert sum(stats["per_label"].values()) == before.n_labeled
    assert service.project(project).n_labels == before.n_labels
    exported = [row for page in stream_labels(service.database, project) for row in page]
    assert sum(row["source"] == "model" for row in exported) == len(sure)
    assert {row["split"] for row in exported if row["source"] == "model"} == {"pool"}


def test_a_run_does_nothing_twice_and_is_undone_as_one(service: Service, project: int, tmp_path: Path) -> None:
    first = ask(service, project)
    n = (first.result or {})["accepted"]
    assert (ask(service, project).result or {})["accepted"] == 0
    assert undo(service, project, first) == {"run": str(first.id), "removed": n}
    assert by_models(service, project) == {}
    with service.database.read() as session:
        runs = model_labels.list_runs(session, project)
    assert [(run["accepted"], run["standing"]) for run in runs] == [(0, 0), (n, 0)]
    with service.database.write() as session, pytest.raises(Conflict, match="wrote no labels"):
        model_labels.request_undo(session, project, int(runs[0]["id"]), service.user_id)
    with service.database.write() as session, pytest.raises(NotFound):
        model_labels.request_undo(session, project, service.jobs("encode")[0].id, service.user_id)
    ask(service, project)
    add_student(service, project, 2, tmp_path / "second")
    again = ask(service, project)
    assert (again.result or {})["accepted"] == n  # a later student's word takes the place of an earlier one's
    assert {label.student_version for label in by_models(service, project).values()} == {2}


def test_people_have_the_last_word(service: Service, project: int) -> None:
    ids = sorted(items(service, project, "pool"))
    say(service, project, {ids[0]: {"label": "ham"}, ids[1]: {"skip": True}, ids[2]: {"flag": "odd"}})
    ask(service, project)
    written = by_models(service, project)
    assert not {*ids[:3]} & set(written)
    mine = next(iter(written))
    say(service, project, {mine: {"label": "ham"}})
    assert mine not in by_models(service, project)
    with service.database.write() as session:
        assert recount.differences(session, project) == {}
    assert [row.source for row in _standing(service, mine)] == ["human"]
    other = next(item for item in written if item != mine)
    key = items(service, project, "pool")[other]
    with service.database.write() as session:  # a file that says otherwise counts more than a model, too
        asked = pool.locked_project(session, project)
        row = RowReader(asked, service.settings, "use").draft({"text": key, "label": "ham"})
        pool.add_items(session, asked, [row], labels="use", on_duplicate="merge_labels")
    assert [row.source for row in _standing(service, other)] == ["import"]
    with service.database.write() as session:
        assert recount.differences(session, project) == {}


def _standing(service: Service, item: int) -> list[Label]:
    with service.database.read() as session:
        return list(session.scalars(select(Label).where(Label.item_id == item, Label.superseded_at.is_(None))))


def test_one_run_at_a_time_and_the_same_one_is_the_same(service: Service, project: int) -> None:
    with service.database.write() as session:
        student = registry.get_student(session, project, "current")
        asked = [
            model_labels.request_run(
                session, project, student, alpha=0.05, confidence=0.95, dry_run=True, user_id=service.user_id
            ).id
            for _ in range(2)
        ]
        with pytest.raises(Conflict, match=f"wait for job {asked[0]}"):
            model_labels.request_run(
                session, project, student, alpha=0.1, confidence=0.95, dry_run=True, user_id=service.user_id
            )
    assert asked[0] == asked[1]


def test_a_run_that_is_cut_short_anywhere_goes_on_and_writes_each_label_once(
    service: Service, project: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(pool_predictions.PAGES, "text", 40)
    with service.database.write() as session:
        student = registry.get_student(session, project, "current")
        asked = model_labels.request_run(
            session, project, student, alpha=0.05, confidence=0.95, dry_run=False, user_id=service.user_id
        )
    attempts = 0
    while service.jobs("label-rest")[-1].state != "succeeded":
        looks = iter([False] * 3)

        def stop(looks: Any = looks) -> bool:
            return next(looks, True) is not False

        outcome = run_job(service.runtime(stopping=stop), "label-rest", asked.id, label_rest.run)
        assert outcome in ("interrupted", "succeeded", "stopping")
        attempts += 1
        assert attempts < 30
    assert attempts > 3
    job = service.jobs("label-rest")[-1]
    written = by_models(service, project)
    assert (job.result or {})["accepted"] == len(written) > 0
    with service.database.read() as session:
        assert len(list(session.scalars(select(Label.id).where(Label.source == "model")))) == len(written)


def test_an_undo_goes_on_where_it_was_cut_short(
    service: Service, project: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    run = ask(service, project)
    n = len(by_models(service, project))
    monkeypatch.setattr(label_undo, "PAGE", 50)
    with service.database.write() as session:
        job = model_labels.request_undo(session, project, run.id, service.user_id)
    looks = iter([False, False])
    stopped = service.runtime(stopping=lambda: next(looks, True))
    assert run_job(stopped, "label-undo", job.id, label_undo.run) == "interrupted"
    assert len(by_models(service, project)) == n - 50
    assert run_job(service.runtime(), "label-undo", job.id, label_undo.run) == "succeeded"
    assert service.jobs("label-undo")[0].result == {"run": str(run.id), "removed": n}


def test_too_few_held_out_labels_are_an_answer_and_write_nothing(service: Service, tmp_path: Path) -> None:
    made = service.make_project(holdout=0.4, batch_size=1000)
    service.add_rows(made, [{"text": text_of(n)} for n in range(50)])
    add_student(service, made, 1, tmp_path / "student")
    with service.database.write() as session:
        jobs.cancel(session, service.jobs("encode")[0].id)
    result = ask(service, made).result
    assert result is not None
    assert (result["threshold"], result["accepted"], result["needed"]) == (None, 0, 75)
    assert "0 held-out labels are too few" in result["reason"]


def test_an_own_test_set_takes_the_place_of_the_holdout(service: Service, tmp_path: Path) -> None:
    made = service.make_project(batch_size=1000)
    rows = [{"text": f"{('spam', 'ham')[n % 2]} test{n}", "label": ("spam", "ham")[n % 2]} for n in range(80)]
    service.add_rows(made, [{**row, "split": "test"} for row in rows])
    service.add_rows(made, [{"text": f"ham pool{n}"} for n in range(20)])
    add_student(service, made, 1, tmp_path / "student")
    with service.database.write() as session:
        jobs.cancel(session, service.jobs("encode")[0].id)
    result = ask(service, made).result
    assert result is not None
    assert (result["measured_on"], result["accepted"], result["held_out_labels"]) == ("test", 20, 80)


def test_files_that_are_gone_fail_the_run_in_words(service: Service, project: int) -> None:
    service.storage.delete(f"projects/{project}/students")
    with service.database.write() as session:
        student = registry.get_student(session, project, "current")
        model_labels.request_run(
            session, project, student, alpha=0.05, confidence=0.95, dry_run=True, user_id=service.user_id
        )
    assert service.work() == ["failed"]
    error = service.jobs("label-rest")[0].error or {}
    assert "files of student 1 are missing" in error["detail"]


def accept_all(service: Service, project: int, tmp_path: Path) -> int:
    add_student(service, project, 1, tmp_path / "student")
    with service.database.write() as session:
        student = registry.get_student(session, project, 1)
        numbers = session.scalars(select(Item.number).where(Item.project_id == project)).all()
        return model_labels.accept(session, project, student, dict.fromkeys(numbers, "ham"))[0]


def test_an_item_that_moves_into_the_holdout_loses_what_the_model_said_of_it(service: Service, tmp_path: Path) -> None:
    made = service.make_project()
    service.add_rows(made, [{"text": text_of(n)} for n in range(60)])  # too few for a holdout
    assert accept_all(service, made, tmp_path) == 60
    service.add_rows(made, [{"text": text_of(n)} for n in range(60, 400)])
    held = set(items(service, made, "holdout"))
    early = {item for item in held if item <= min(held | set(items(service, made, "pool"))) + 59}
    assert early
    assert not held & set(by_models(service, made))
    assert len(by_models(service, made)) == 60 - len(early)


def test_new_content_under_the_same_key_is_nothing_that_the_model_has_seen(service: Service, tmp_path: Path) -> None:
    made = service.make_project(holdout=False)
    service.add_rows(made, [{"text": "spam one", "key": "a"}, {"text": "spam two", "key": "b"}])
    assert accept_all(service, made, tmp_path) == 2
    with service.database.write() as session:
        asked = pool.locked_project(session, made)
        row = RowReader(asked, service.settings, "use").draft({"text": "another thing", "key": "a"})
        pool.add_items(session, asked, [row], labels="use", on_duplicate="update")
    texts = items(service, made, "pool")
    assert [texts[item] for item in by_models(service, made)] == ["spam two"]
