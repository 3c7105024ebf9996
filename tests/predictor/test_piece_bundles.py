"""Bundles with a tokenizer: whole, damaged, and handed in by somebody who means no good."""

import json
import subprocess
import sys

import numpy as np
import pytest

from models.export.bundle import write_serving_folder
from predictor import BundleError, ItemError, load
from predictor.source import predict_source
from tests.models.tiny_trunks import tokenizer_json, transformer_student


@pytest.fixture
def folder(tmp_path):
    write_serving_folder(transformer_student("transformer-1"), tmp_path)
    return tmp_path


def forge(folder, name, content):
    """Change a file, and the manifest's word for it."""
    import hashlib

    (folder / name).write_text(content)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["sha256"][name] = hashlib.sha256(content.encode()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_a_folder_with_a_tokenizer_predicts_what_its_student_does(folder):
    student = transformer_student("transformer-1")
    items = ["apple and banana", "hammer", "", "☃ " * 100]
    assert load(folder).predict_proba(items) == pytest.approx(student.predict_proba(items), abs=1e-5)
    assert "tokenizer" not in json.loads((folder / "preprocess.json").read_text())


def test_many_texts_of_all_lengths_are_answered_in_their_order(folder):
    predictor = load(folder)
    items = [" ".join(["apple", "hammer"][n % 2 :][:1] * (n % 37)) for n in range(150)]
    together = predictor.predict_proba(items)
    assert together == pytest.approx(np.concatenate([predictor.predict_proba([item]) for item in items]), abs=1e-5)


def test_what_is_no_text_is_named(folder):
    with pytest.raises(ItemError, match="item 1: this bundle reads texts, not int"):
        load(folder).predict(["apple", 3])


def test_a_tokenizer_that_is_gone_or_another_one_is_said(folder):
    (folder / "tokenizer.json").write_text(tokenizer_json())
    with pytest.raises(BundleError, match=r"tokenizer\.json is damaged"):
        load(folder)
    (folder / "tokenizer.json").unlink()
    with pytest.raises(BundleError, match=r"tokenizer\.json cannot be read"):
        load(folder)


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("tokenizer.json", "{", "cannot be read"),
        ("tokenizer.json", "x" * (2**25 + 1), "more than 33,554,432 bytes, which no file of a bundle has"),
        ("preprocess.json", '{"kind": "word-pieces", "rows": 9, "start": 2, "end": 3, "most": 40}', "knows 9 pieces"),
        ("preprocess.json", '{"kind": "word-pieces", "rows": 90, "start": 2, "end": 3}', "does not say 'most'"),
        ("preprocess.json", '{"kind": "word-pieces", "rows": 90, "start": null, "end": 3, "most": 4}', "int"),
        ("preprocess.json", '{"kind": "word-pieces", "rows": 90, "start": 2, "end": 3, "most": 1e999}', "infinity"),
    ],
)
def test_a_bundle_with_a_forged_file_is_refused_and_says_why(name, content, why, folder):
    forge(folder, name, content)
    with pytest.raises(BundleError, match=why):
        load(folder)


def test_without_tokenizers_the_command_line_says_what_to_install(folder):
    (folder / "predict.py").write_bytes(predict_source())
    code = "import sys; sys.modules['tokenizers'] = None; sys.path.insert(0, '.'); import predict; predict.main(['a'])"
    done = subprocess.run([sys.executable, "-I", "-c", code], cwd=folder, capture_output=True, text=True, timeout=60)
    assert done.stderr.strip() == "This bundle needs the package tokenizers: pip install -r requirements.txt"
