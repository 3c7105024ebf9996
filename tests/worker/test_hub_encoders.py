"""A project whose encoder the operator registered: encoded, trained, promoted; and what goes wrong with one."""

from __future__ import annotations

import base64
import io
import itertools
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from sqlalchemy import select

from tests.models.tiny_hub_models import tiny_bert, tiny_vit
from tests.worker.service import HAM, SPAM, Service
from winnow import registry
from winnow.db.tables import Encoder, Project, Round
from winnow.features import FeatureStore
from winnow.hub_encoders import HubEntry
from winnow.jobs import request_encode
from winnow.projects import create_project
from winnow.stats import project_stats
from winnow.users import Identity

WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", *SPAM, *HAM]


@pytest.fixture
def tiny(tmp_path: Path) -> Path:
    return tiny_bert(tmp_path / "tiny", words=WORDS)


def registered(service: Service, **entries: Any) -> Service:
    made = {name: HubEntry(source=str(source)) for name, source in entries.items()}
    return replace(service, settings=service.settings.model_copy(update={"hf_encoders": made}))


def project_of(service: Service, encoder: str, task: str = "text", n: int = 0) -> int:
    """A project, made as the API makes it, with ``n`` texts."""
    identity = Identity(service.user_id, "owner@example.org", "owner", 1, False)
    with service.database.write() as session:
        project = create_project(
            session,
            identity,
            name="mail",
            task=task,
            labels=["spam", "ham"],
            settings={"encoder": encoder, "batch_size": 20},
            hub=service.settings.hf_encoders,
        )
        project_id = project.id
    if n:
        add_texts(service, project_id, range(n))
    return project_id


def add_texts(service: Service, project_id: int, numbers: range) -> None:
    rng = np.random.default_rng(numbers.start)
    words = [rng.choice(SPAM if n % 2 else HAM, 4, replace=False) for n in numbers]
    rows = [{"text": f"{' '.join(some)} {n}"} for n, some in zip(numbers, words, strict=True)]
    service.add_rows(project_id, rows)


def failure(service: Service) -> str:
    """Why the newest encode job failed."""
    job = service.jobs("encode")[-1]
    assert job.state == "failed"
    assert job.error is not None
    assert job.error["status"] == 422
    return str(job.error["detail"])


def test_a_registered_model_encodes_and_its_student_is_promoted(service: Service, tiny: Path) -> None:
    service = registered(service, tiny=tiny)
    project = project_of(service, "hf:tiny", n=120)
    assert set(service.work()) == {"succeeded"}
    matrix = FeatureStore(service.database, service.storage, service.settings).matrix(project)
    assert (matrix.covered, matrix.array.shape, matrix.array.dtype) == (120, (120, 16), np.float16)
    np.testing.assert_allclose(np.linalg.norm(np.asarray(matrix.array, np.float32), axis=1), 1, atol=0.01)
    [job] = service.jobs("encode")
    assert job.result is not None
    assert (job.result["encoder"]["name"], job.result["encoder"]["dim"]) == ("hf:tiny", 16)
    service.label(project, 40)
    assert set(service.work()) == {"succeeded"}
    with service.database.read() as session:
        assert registry.current_version(session, project) == 1
        done = session.scalars(select(Round).where(Round.project_id == project, Round.n > 0)).all()
        assert done[-1].promoted
        told = {"name": "hf:tiny", "cut_share": 0.0, "choice": None, "languages": None, "words": []}
        assert done[-1].metrics["encoder"] == told
        stored = session.get_one(Encoder, project)
        assert (stored.name, stored.digest) == ("hf:tiny", matrix.digest)
        assert str(tiny) not in str(stored.details)  # where the operator keeps it is nobody's business


def test_items_that_come_later_are_encoded_by_another_process_alike(service: Service, tiny: Path) -> None:
    service = registered(service, tiny=tiny)
    project = project_of(service, "hf:tiny", n=30)
    service.work(service.runtime())
    add_texts(service, project, range(100, 110))
    assert set(service.work(service.runtime("elsewhere:2"))) == {"succeeded"}
    assert FeatureStore(service.database, service.storage, service.settings).matrix(project).covered == 40


def test_images_are_encoded_by_a_model_of_images(service: Service, tmp_path: Path) -> None:
    service = registered(service, vit=tiny_vit(tmp_path / "vit"))
    project = project_of(service, "hf:vit", "image")
    rng = np.random.default_rng(0)
    rows = []
    for _ in range(12):
        out = io.BytesIO()
        Image.fromarray(rng.integers(0, 255, (10, 14), np.uint8)).save(out, "PNG")
        rows.append({"image": base64.b64encode(out.getvalue()).decode()})
    service.add_rows(project, rows)
    assert set(service.work()) == {"succeeded"}
    assert FeatureStore(service.database, service.storage, service.settings).matrix(project).array.shape == (12, 16)


def test_a_folder_that_went_away_fails_the_encoding_with_what_to_do(service: Service, tiny: Path) -> None:
    service = registered(service, tiny=tiny)
    project = project_of(service, "hf:tiny", n=5)
    shutil.move(tiny, tiny.parent / "elsewhere")
    service.work()
    assert failure(service) == (
        f"The encoder 'hf:tiny' cannot be used: there is no folder {tiny} on this machine. "
        "Put the model there, or correct its entry."
    )
    shutil.move(tiny.parent / "elsewhere", tiny)
    with service.database.write() as session:
        request_encode(session, project)
    service.work()
    assert FeatureStore(service.database, service.storage, service.settings).matrix(project).covered == 5


def test_pickled_weights_fail_the_encoding_and_are_not_loaded(service: Service, tiny: Path) -> None:
    (tiny / "model.safetensors").unlink()
    (tiny / "pytorch_model.bin").write_bytes(b"cos\nsystem\n(S'touch /tmp/owned'\ntR.")
    service = registered(service, tiny=tiny)
    project_of(service, "hf:tiny", n=5)
    service.work()
    assert "pytorch_model.bin, and such files are never loaded" in failure(service)


def test_a_model_of_the_wrong_kind_fails_before_it_is_loaded(service: Service, tiny: Path) -> None:
    unknown = registered(service, tiny=tiny.parent / "later")
    project = project_of(unknown, "hf:tiny", "image")  # what it reads could not be known then
    shutil.move(tiny, tiny.parent / "later")
    out = io.BytesIO()
    Image.new("L", (9, 9)).save(out, "PNG")
    unknown.add_rows(project, [{"image": base64.b64encode(out.getvalue()).decode()}])
    unknown.work()
    assert "it is a model of texts, but the items are images" in failure(unknown)


def test_another_model_under_the_same_name_is_not_mixed_in_and_rounds_go_on(service: Service, tiny: Path) -> None:
    service = registered(service, tiny=tiny)
    project = project_of(service, "hf:tiny", n=80)
    service.work()
    tiny_bert(tiny, seed=1, words=WORDS)
    service.label(project, 20)
    assert set(service.work()) == {"succeeded"}  # everything is encoded: the files are not needed
    add_texts(service, project, range(200, 203))
    service.work()
    assert "its files_sha256 changed since items were encoded with it" in failure(service)
    assert FeatureStore(service.database, service.storage, service.settings).matrix(project).covered == 80


def test_an_entry_that_is_gone_is_said_and_rounds_go_on(service: Service, tiny: Path) -> None:
    with_it = registered(service, tiny=tiny)
    project = project_of(with_it, "hf:tiny", n=80)
    with_it.work()
    service.label(project, 20)
    assert set(service.work()) == {"succeeded"}
    add_texts(service, project, range(200, 203))
    service.work()
    assert "'hf:tiny' cannot be used: it is not registered any more" in failure(service)


def test_texts_that_are_cut_and_languages_that_it_does_not_know_are_said(service: Service, tiny: Path) -> None:
    entry = HubEntry(source=str(tiny), max_tokens=8, languages=["en"])
    service = replace(service, settings=service.settings.model_copy(update={"hf_encoders": {"tiny": entry}}))
    project = project_of(service, "hf:tiny")
    long = "Meine neue Karte ist leider immer noch nicht bei mir angekommen, Nummer"
    short = [" ".join(words) for words in itertools.permutations(("click", "prize", "lunch", "garden"), 3)]
    service.add_rows(project, [{"text": text} for text in [*(f"{long} {n}" for n in range(6)), *short]])
    assert set(service.work()) == {"succeeded"}

    with service.database.read() as session:
        stats = project_stats(session, session.get_one(Project, project))
    assert stats["freshness"]["cut_share"] == 0.2
    told = stats["encoder"]
    assert (told["name"], told["cut_share"], told["languages"]["sample"]) == ("hf:tiny", 0.2, 30)
    assert {"language": "de", "name": "German", "share": 0.2} in told["languages"]["found"]
    assert told["words"] == [
        "About 20 % of a sample of 30 texts look German; the encoder hf:tiny was trained on English. Set encoder to "
        "hashed, which reads any language, or to a multilingual one that the operator registered.",
        "20.0 % of the texts are longer than the encoder reads: it does not see their ends.",
    ]

    service.add_rows(project, [{"text": f"{' '.join(HAM[:3])} {n}"} for n in range(89)])
    assert set(service.work()) == {"succeeded"}
    with service.database.read() as session:
        seen = session.get_one(Encoder, project).details["languages"]
    assert (seen["items"], seen["sample"]) == (30, 30)  # it has not grown enough to look again
    service.add_rows(project, [{"text": f"{long} {n}"} for n in range(6, 7)])
    assert set(service.work()) == {"succeeded"}
    with service.database.read() as session:
        seen = session.get_one(Encoder, project).details["languages"]
    assert (seen["items"], seen["sample"], seen["found"]["de"]) == (120, 120, 7)
