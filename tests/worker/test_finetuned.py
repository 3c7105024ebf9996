"""When a round fine-tunes an encoder, when it lets the kept one answer, and whose soft labels count."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sqlalchemy import select

from models import blend
from models.blend import Share
from models.errors import BadInput
from models.evaluate import log_losses
from models.finetune.base import Base
from models.finetune.model import FinetunedModel
from models.finetune.recipe import FinetuneRecipe
from models.hub import HubModel
from models.teachers import LogisticTeacher
from tests.models.tiny_hub_models import tiny_bert
from tests.worker.service import HAM, SPAM, Service
from tests.worker.test_round import Kept
from winnow import project_settings, rounds
from winnow.db.tables import Project, Round
from winnow.hub_encoders import HubEntry
from worker import finetuned
from worker.base import run_job
from worker.finetuned import FinetunedStep
from worker.finetuned_files import FOLDER
from worker.round_checkpoints import StoredCheckpoints
from worker.round_data import RoundData
from worker.tasks import rounds as task

BASE = Base("hf:tiny", Path("nowhere"), HubModel("nowhere"), "the digest")
RECIPE = FinetuneRecipe(method="bias")
X = np.random.default_rng(0).normal(size=(300, 4)).astype(np.float32)
Y = (X[:, 0] > 0).astype(np.int64) + (X[:, 1] > 1)


def made_of(n_labels: int, *, wrong: bool = False, seen: tuple[int, ...] = (0, 1, 2), **report: Any) -> FinetunedModel:
    """A model that was judged on every tenth label: right on each of them, or wrong."""
    held = np.arange(0, n_labels, 10)
    P = np.full((len(held), 3), 0.05, np.float32)
    P[np.arange(len(held)), (Y[held] + int(wrong)) % 3] = 0.9
    return FinetunedModel(RECIPE, BASE.digest, {}, np.array(seen), 3, n_labels, 1.0, held, P, {"flops": 7.0, **report})


def step(n_labels: int, kept: FinetunedModel | None = None, base: Base | None = BASE, **how: Any) -> FinetunedStep:
    rows = np.arange(n_labels)
    data = RoundData(
        task="text",
        class_names=("a", "b", "c"),
        features=X,
        raw=lambda wanted: [f"text {row}" for row in wanted],
        labeled_rows=rows,
        y=Y[rows],
        exploration=np.zeros(n_labels, bool),
        candidate_rows=np.arange(n_labels, 300),
        base=base,
    )
    head = LogisticTeacher.fit(X[rows], Y[rows], 3, rng=np.random.default_rng(0))
    arrays = kept.arrays() if kept else None
    return FinetunedStep(data, "finetuned-bias", arrays, head, how.pop("checkpoints", Kept()), 0, **how)


@pytest.fixture
def trained(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many labels each run learned from; what it gives answers 'a' for every text, and was right when judged."""
    runs: list[int] = []

    def fit(base: Base, texts: list[str], y: np.ndarray, n_classes: int, *_: Any, **__: Any) -> FinetunedModel:
        runs.append(len(texts))
        return made_of(len(y))

    def predict(model: FinetunedModel, base: Base, texts: list[str], **_: Any) -> np.ndarray:
        P = np.full((len(texts), 3), 1e-6, np.float32)
        P[:, model.seen] = 0.1 / (len(model.seen) - 1)
        P[:, 0] = 0.9
        return P

    monkeypatch.setattr(FinetunedModel, "fit", fit)
    monkeypatch.setattr(FinetunedModel, "predict_proba", predict)
    return runs


def test_it_is_made_when_labels_have_grown_by_thirty_percent_and_kept_in_between(trained: list[int]) -> None:
    first = step(100).run()
    assert (first.fresh, first.flops, trained) == (True, 7.0, [100])
    kept = step(129, first.model).run()
    assert (kept.fresh, kept.flops, kept.metrics["labels"], trained) == (False, 0.0, 100, [100])
    assert kept.predict_proba(np.array([5, 6])).argmax(axis=1).tolist() == [0, 0]
    assert step(130, first.model).run().fresh
    assert trained == [100, 130]


def test_another_method_base_or_set_of_classes_makes_it_anew(trained: list[int]) -> None:
    kept = made_of(100)
    for other in (
        replace(kept, base_digest="of other weights"),
        replace(kept, recipe=FinetuneRecipe(method="lora")),
        replace(kept, n_classes=4),
    ):
        assert step(100, other).run().fresh
    assert trained == [100] * 3
    assert not step(100, kept).run().fresh


def test_with_few_labels_the_head_gives_the_soft_labels(trained: list[int]) -> None:
    few = step(59)
    result = few.run()
    assert (result.model, result.fresh, trained) == (None, False, [])
    assert result.metrics == {"answers": False, "why": "too few labels to fine-tune an encoder: 59 of 60"}
    rows = np.array([200, 201])
    np.testing.assert_array_equal(result.predict_proba(rows), few._head.predict_proba(X, rows))


def test_the_head_answers_where_it_is_better_on_labels_that_neither_learned(
    trained: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    good = step(200).run()
    assert (good.metrics["answers"], good.metrics["share"]) == (True, 1.0)
    assert good.metrics["loss"] < good.metrics["head_loss"]
    assert good.metrics["together_loss"] == good.metrics["loss"]
    monkeypatch.setattr(FinetunedModel, "fit", lambda *_, **__: made_of(200, wrong=True))
    bad = step(200)
    result = bad.run()
    assert (result.metrics["answers"], result.metrics["share"]) == (False, 0.0)
    assert result.metrics["why"].startswith(
        "together they are no better than the head by a standard error: log-loss 2.996"
    )
    rows = np.array([250])
    np.testing.assert_array_equal(result.predict_proba(rows), bad._head.predict_proba(X, rows))
    again = step(210, result.model).run()
    assert (again.fresh, again.metrics["answers"]) == (False, False), "so it stays until it is made anew"


def test_each_has_a_say_where_together_they_are_better_and_so_it_stays(
    trained: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(blend, "choose_share", lambda y, head, own: Share(0.25, 0.5, 0.6, 0.4, len(y)))
    asked = step(200)
    result = asked.run()
    assert (result.metrics["answers"], result.metrics["share"]) == (True, 0.25)
    assert result.metrics["why"] == (
        "it has 25% of the say and the head the rest: log-loss 0.600, the head's 0.500, together 0.400, "
        "on 20 labels that neither learned"
    )
    rows = np.arange(250, 260)
    own = made_of(200).predict_proba(BASE, [""] * len(rows))
    expected = 0.75 * asked._head.predict_proba(X, rows) + 0.25 * own
    np.testing.assert_allclose(result.predict_proba(rows), expected, rtol=1e-5)
    later = step(210, result.model)
    np.testing.assert_allclose(
        later.run().predict_proba(rows), 0.75 * later._head.predict_proba(X, rows) + 0.25 * own, rtol=1e-5
    )
    assert trained == [200]


def test_what_is_judged_is_the_head_without_the_labels_that_were_held_out(
    trained: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[tuple[np.ndarray, np.ndarray]] = []

    def noted(y: np.ndarray, head: np.ndarray, own: np.ndarray) -> Share:
        seen.append((y, head))
        return Share(0.0, 0.1, 0.1, 0.1, len(y))

    monkeypatch.setattr(blend, "choose_share", noted)
    step(200).run()
    held = np.arange(0, 200, 10)
    apart = np.setdiff1d(np.arange(200), held)
    asked = step(200)
    alone = LogisticTeacher.fit(X[apart], Y[apart], 3, rng=np.random.default_rng(0), C=asked._head.C, pool=X)
    [(y, head)] = seen
    np.testing.assert_array_equal(y, Y[held])
    np.testing.assert_array_equal(head.argmax(axis=1), alone.predict_proba(X, held).argmax(axis=1))
    assert float(log_losses(y, head).mean()) <= float(log_losses(y, alone.predict_proba(X, held)).mean())


def test_one_that_was_kept_before_there_were_shares_answers_alone(trained: list[int]) -> None:
    rows = np.arange(250, 260)
    kept = made_of(100, answers=True)
    np.testing.assert_array_equal(step(110, kept).run().predict_proba(rows), kept.predict_proba(BASE, [""] * len(rows)))


def test_of_classes_that_came_since_the_head_says_how_likely_they_are(trained: list[int]) -> None:
    asked = step(100, made_of(100, seen=(0, 1)))
    assert 2 in Y[:100]
    rows = np.arange(200, 210)
    P = asked.run().predict_proba(rows)
    np.testing.assert_allclose(P.sum(axis=1), 1, atol=1e-6)
    of_head = asked._head.predict_proba(X, rows)[:, 2]
    np.testing.assert_allclose(P[:, 2], of_head, rtol=1e-5)
    np.testing.assert_allclose(P[:, 0], (1 - of_head) * 0.9, rtol=1e-4)


def test_another_attempt_takes_what_the_first_one_made(trained: list[int]) -> None:
    checkpoints = Kept(lose_after="finetuned")
    with pytest.raises(InterruptedError):
        step(100, checkpoints=checkpoints).run()
    checkpoints.lose_after = None
    again = step(100, checkpoints=checkpoints).run()
    assert (again.fresh, again.metrics["answers"], trained) == (True, True, [100])


def test_settings_may_name_each_method_and_nothing_else() -> None:
    assert tuple(finetuned.METHODS) == project_settings.FINETUNED


def test_items_that_are_no_texts_are_refused() -> None:
    with pytest.raises(BadInput, match="teacher 'finetuned-bias' needs texts"):
        step(100, base=None).run()


# --- in the service ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("database_kind", ["sqlite"], indirect=True)
def test_rounds_make_it_keep_it_resume_it_and_make_it_anew(
    service: Service, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(finetuned, "LEAST_LABELS", 30)
    tiny = tiny_bert(tmp_path / "tiny", words=["[PAD]", "[UNK]", "[CLS]", "[SEP]", *SPAM, *HAM])
    hub = {"hf_encoders": {"tiny": HubEntry(source=str(tiny))}}
    service = replace(service, settings=service.settings.model_copy(update=hub))
    project = service.make_project(150, holdout=False, batch_size=1000)
    with service.database.write() as session:
        row = session.get_one(Project, project)
        row.settings = {**row.settings, "encoder": "hf:tiny", "teacher": "finetuned-bias"}
    service.work()

    def ask(labels: int) -> int:
        service.label(project, labels)
        with service.database.write() as session:
            return rounds.request_round(session, session.get_one(Project, project), forced=True).id

    def round_after(labels: int) -> dict[str, Any]:
        if labels:
            ask(labels)
        assert service.work() == ["succeeded"]
        with service.database.read() as session:
            found = session.scalars(select(Round).where(Round.project_id == project).order_by(Round.n)).all()
        return dict(found[-1].metrics["finetuned"])

    saved: list[str] = []
    save = StoredCheckpoints.save

    def noted(checkpoints: StoredCheckpoints, name: str, arrays: Any) -> None:
        saved.append(name)
        save(checkpoints, name, arrays)

    monkeypatch.setattr(StoredCheckpoints, "save", noted)
    job_id = ask(40)
    stopping = service.runtime(stopping=lambda: "finetuning" in saved)
    assert run_job(stopping, "round", job_id, task.run) == "interrupted"
    loaded: list[str] = []
    load = StoredCheckpoints.load

    def watched(checkpoints: StoredCheckpoints, name: str) -> Any:
        found = load(checkpoints, name)
        loaded.extend([name] if found is not None else [])
        return found

    monkeypatch.setattr(StoredCheckpoints, "load", watched)
    saved.clear()
    made = round_after(0)
    assert loaded == ["teacher", "finetuning"], "the next attempt goes on where it was"
    assert (made["fresh"], made["labels"], made["method"], made["base"]) == (True, 40, "bias", "hf:tiny")
    assert "finetuned" in saved
    saved.clear()
    kept = round_after(5)
    assert (kept["fresh"], kept["labels"], kept["trained_weights"]) == (False, 40, made["trained_weights"])
    assert "finetuned" not in saved
    assert not round_after(5)["fresh"], "found again with the student of the first round"
    [stored] = [path for path in service.storage.list() if f"/{FOLDER}/" in path]
    assert stored.endswith("/finetuned/finetuned.safetensors")
    service.storage.put_bytes(b"damaged", stored)
    assert round_after(1)["fresh"], "what is damaged is made again"
