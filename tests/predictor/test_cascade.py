"""A bundle of two models, made by hand: the student knows two words, the teacher a few more."""

from __future__ import annotations

import json
import subprocess
import sys
import zipfile

import numpy as np
import pytest
import torch

from models.artifacts import save_student
from models.cascade import margins
from models.compression.compact import build_compact, text_pieces
from models.compression.network import EncoderNetwork, padded
from models.errors import BadInput, ModelError
from models.export.card import CardFacts, Latency
from models.export.cascade_bundle import CascadeTeacher, export_cascade
from models.linear_head import fit_head
from predictor import BundleError, Cascade, ItemError, load
from predictor.cascade import TextNetwork
from tests.models.tiny_text_encoder import tiny_tokenizer, tiny_weights
from tests.predictor.bundles import vector_student, word_student

NAMES = ["sport", "money"]
KNOWN = ["sport today", "money today", "sport sport", "money money"] * 20
DOUBTFUL = ["goal match", "bank price", "team goal", "share price"]
FRESH = [*KNOWN, *DOUBTFUL]
TRUTH = [0, 1] * (len(FRESH) // 2)


@pytest.fixture(scope="module")
def teacher():
    encoder = build_compact(tiny_weights(), tiny_tokenizer(), "fp32")
    rows = encoder.network().run(FRESH)
    return CascadeTeacher(encoder, fit_head(rows, np.eye(2)[TRUTH], rng=np.random.default_rng(0)))


def export(folder, teacher, student, **options):
    save_student(folder / "student", student)
    arguments = {
        "fresh": FRESH,
        "calibration": FRESH,
        "parity_items": FRESH,
        "card": CardFacts("news"),
        "latency": Latency(0.1, 1000.0, "here"),
        **options,
    }
    return export_cascade(folder / "student", teacher, out=folder / "bundle.zip", **arguments)


@pytest.fixture(scope="module")
def made(tmp_path_factory, teacher):
    folder = tmp_path_factory.mktemp("cascade")
    report, threshold = export(
        folder, teacher, word_student(NAMES), measured=(FRESH, TRUTH), share=4 / 84, collect=True
    )
    with zipfile.ZipFile(report.path) as archive:
        archive.extractall(folder / "bundle")
    return folder / "bundle", threshold


def test_the_teacher_is_asked_where_the_student_is_not_sure(made):
    folder, threshold = made
    cascade = load(folder)
    assert isinstance(cascade, Cascade)
    told = cascade.predict(["sport today", *DOUBTFUL])
    assert [answer["source"] for answer in told] == ["student", "teacher", "teacher", "teacher", "teacher"]
    assert [answer["label"] for answer in told] == ["sport", "sport", "money", "sport", "money"]
    assert threshold.passed_on == pytest.approx(4 / 84)
    assert threshold.accuracy == 1.0
    assert threshold.student == pytest.approx(82 / 84)


def test_what_it_answers_is_the_mean_of_both(made, teacher):
    cascade = load(made[0])
    proba, passed = cascade.answer([{"text": "goal match"}, "money today"])
    assert passed.tolist() == [True, False]
    own = super(Cascade, cascade).predict_proba(["goal match", "money today"])
    asked = teacher.head.predict_proba(teacher.encoder.network().run(["goal match"]))
    assert proba[0] == pytest.approx((own[0] + asked[0]) / 2, abs=1e-5)
    assert proba[1] == pytest.approx(own[1])
    assert margins(own)[0] < cascade.threshold <= margins(own)[1]


def test_the_bundle_runs_by_itself(made):
    command = [sys.executable, "predict.py", "goal match", "sport today"]
    done = subprocess.run(command, cwd=made[0], capture_output=True, text=True, timeout=60, check=True)
    told = [json.loads(line) for line in done.stdout.splitlines()]
    assert [(answer["label"], answer["source"]) for answer in told] == [("sport", "teacher"), ("sport", "student")]
    assert told == load(made[0]).predict(["goal match", "sport today"])


SEEN = ["sport today", *DOUBTFUL, "rain rain", "zebra"]


def collected(folder, seen):
    """What predict.py says of some texts, and what it keeps of them in eight rows."""
    given = "".join(json.dumps({"text": text}) + "\n" for text in SEEN)
    flags = ["--file", "-", "--collect", str(seen), "--collect-most", "8"]
    command = [sys.executable, "-B", "predict.py", *flags]  # -B: the folder is other tests' too
    done = subprocess.run(command, cwd=folder, input=given, capture_output=True, text=True, timeout=60, check=True)
    kept = [json.loads(line) for line in seen.read_text().splitlines()]
    return [json.loads(line) for line in done.stdout.splitlines()], {row["text"]: row["meta"] for row in kept}


def test_it_collects_what_both_models_together_are_least_certain_of(made, tmp_path):
    told, kept = collected(made[0], tmp_path / "seen.jsonl")
    confidence = {text: answer["confidence"] for text, answer in zip(SEEN, told, strict=True)}
    uncertain = {text for text, meta in kept.items() if meta["collected"] == "uncertain"}
    assert uncertain == set(sorted(SEEN, key=confidence.__getitem__)[:4])
    # To the student all texts without its two words are one: only the teacher can have told them apart.
    alone = super(Cascade, load(made[0])).predict_proba(SEEN[1:])
    assert np.ptp(alone) == pytest.approx(np.ptp(alone[0]))
    assert len({confidence[text] for text in SEEN[1:]}) > 3
    assert {text: meta["confidence"] for text, meta in kept.items()} == {text: confidence[text] for text in kept}
    assert {text: meta["source"] for text, meta in kept.items()} == {
        text: answer["source"] for text, answer in zip(SEEN, told, strict=True) if text in kept
    }
    assert collected(made[0], tmp_path / "seen.jsonl")[1] == kept  # the second run knows what the first has kept


def test_without_consent_it_collects_nothing(tmp_path, teacher):
    report, _ = export(tmp_path, teacher, word_student(NAMES), share=0.5)
    with zipfile.ZipFile(report.path) as archive:
        assert {"collect.py", "novelty.json"} & set(archive.namelist()) == set()
        archive.extractall(tmp_path / "bundle")
    assert json.loads((tmp_path / "bundle" / "manifest.json").read_text())["collect"] is False
    seen = tmp_path / "seen.jsonl"
    command = [sys.executable, "predict.py", "goal match", "--collect", str(seen)]
    done = subprocess.run(command, cwd=tmp_path / "bundle", capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stdout, seen.exists()) == (1, "", False)
    assert "without consent" in done.stderr


def test_manifest_card_and_requirements_say_what_it_is(made):
    folder, threshold = made
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["bundle"] == "cascade"
    assert manifest["cascade"]["passed_on"] == threshold.passed_on
    assert manifest["cascade"]["accuracy"] == 1.0
    assert set(manifest["sha256"]) == {path.name for path in folder.iterdir()} - {"manifest.json"}
    card = (folder / "README.md").read_text()
    assert "## Cascade" in card
    assert "to 4.8% of items" in card
    assert "tokenizers==" in (folder / "requirements.txt").read_text()


def test_long_texts_are_read_in_chunks_weighed_by_their_pieces(teacher):
    network = teacher.encoder.network()
    room = teacher.encoder.settings["chunk_tokens"] - 2
    parts = ["goal " * room, "bank " * 10]
    first, second, both = network.run([*parts, "".join(parts)])
    expected = (room + 2) * mean_of_states(parts[0], room + 2) + 12 * mean_of_states(parts[1], room + 2)
    assert both == pytest.approx(expected / np.linalg.norm(expected), abs=1e-5)
    assert first @ both > second @ both
    most = teacher.encoder.settings["max_chunks"] * room
    cut, uncut = network.run(["goal " * most + "bank " * 50, "goal " * most])
    assert cut == pytest.approx(uncut, abs=1e-5)


def test_a_run_holds_as_many_pieces_as_fit_a_cache(teacher, monkeypatch):
    network, runs = teacher.encoder.network(), []
    run = network._run
    monkeypatch.setattr(network, "_run", lambda texts: runs.append(texts) or run(texts))
    texts = ["goal " * words for words in (98, 98, 98, 98, 98, 98, 1)]
    rows = network.run(texts)
    # Sorted, and 512 pieces at most, padding and the two around each text included.
    assert [len(texts) for texts in runs] == [5, 2]
    assert max(len(texts) * max(len(chunk) for [chunk] in texts) for texts in runs) <= 512
    assert rows == pytest.approx(np.concatenate([network.run([text]) for text in texts]), abs=1e-5)


def mean_of_states(text, pieces):
    """What the network makes of one chunk, not brought to unit length."""
    ids, mask = padded(text_pieces(tiny_tokenizer(), [text], most=pieces))
    with torch.inference_mode():
        return EncoderNetwork(tiny_weights()).states(ids, mask)[0].mean(0).numpy()


def test_odd_texts_are_answered(made):
    told = load(made[0]).predict(["", "half \ud83d of one", "東京", "x" * 5000])
    assert [answer["source"] for answer in told] == ["teacher"] * 4
    with pytest.raises(ItemError):
        load(made[0]).predict(["goal", 3])


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        ("teacher.onnx", lambda data: data[:-9], "teacher.onnx is damaged"),
        ("tokenizer.json", lambda data: data.replace(b"goal", b"gaol"), "tokenizer.json is damaged"),
        ("teacher.onnx", None, "teacher.onnx cannot be read"),
        ("preprocess.json", lambda data: data.replace(b'"threshold"', b'"thresh"'), "preprocess.json is damaged"),
    ],
)
def test_a_damaged_bundle_says_what_is_wrong(made, tmp_path, name, change, says):
    for path in made[0].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    if change is None:
        (tmp_path / name).unlink()
    else:
        (tmp_path / name).write_bytes(change((tmp_path / name).read_bytes()))
    with pytest.raises(BundleError, match=says):
        load(tmp_path)


@pytest.mark.parametrize(
    ("name", "change", "says"),
    [
        ("preprocess.json", lambda data: data.replace(b'"threshold"', b'"thresh"'), "under cascade, threshold"),
        ("labels.json", lambda data: b'["a", "b", "c"]', "labels.json has 3 names"),
    ],
)
def test_a_bundle_that_was_made_wrong_says_so_too(made, tmp_path, name, change, says):
    for path in made[0].iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    (tmp_path / name).write_bytes(change((tmp_path / name).read_bytes()))
    manifest = json.loads((tmp_path / "manifest.json").read_text("utf-8"))
    del manifest["sha256"][name]
    (tmp_path / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    with pytest.raises(BundleError, match=says):
        load(tmp_path)


def test_a_tokenizer_or_teacher_that_is_none_is_refused(made, teacher):
    model, settings = teacher.encoder.model, teacher.encoder.settings
    with pytest.raises(BundleError, match=r"tokenizer\.json cannot be read"):
        TextNetwork(model, b"{}", settings)
    with pytest.raises(BundleError, match=r"teacher\.onnx cannot be loaded"):
        TextNetwork(b"no graph", teacher.encoder.tokenizer.encode(), settings)


def test_what_makes_no_cascade_is_refused(tmp_path, teacher):
    with pytest.raises(BadInput, match="reads features items"):
        export(tmp_path / "a", teacher, vector_student())
    with pytest.raises(BadInput, match="knows 2 classes, the student 3"):
        export(tmp_path / "b", teacher, word_student(["sport", "money", "rain"]))
    with pytest.raises(ModelError, match="Ask for less"):
        export(tmp_path / "c", teacher, word_student(NAMES), measured=(KNOWN, [1, 0] * 40), accuracy=0.9)
