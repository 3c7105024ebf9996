"""Labelled files: what is read, and what each bad one is told."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from winnow.errors import Invalid
from worker.dataset import load_dataset


def write(tmp_path: Path, content: str | bytes, name: str = "pool.jsonl") -> Path:
    path = tmp_path / name
    path.write_bytes(content.encode() if isinstance(content, str) else content)
    return path


def test_texts_and_labels_are_read_in_order(tmp_path: Path) -> None:
    path = write(tmp_path, '\ufeff{"text": "grüße", "label": "a"}\n\n{"text": "two", "label": 3, "meta": {}}\n')
    data = load_dataset(path)
    assert (data.task, data.items, data.labels) == ("text", ["grüße", "two"], ("a", "3"))
    assert len(data) == 2


def test_features_are_read_as_they_are(tmp_path: Path) -> None:
    np.savez(tmp_path / "pool.npz", X=np.array([[1.5, 2.0], [3.0, 4.0]]), y=np.array([7, 2]))
    data = load_dataset(tmp_path / "pool.npz")
    assert data.task == "features"
    assert isinstance(data.items, np.ndarray)
    assert data.items.dtype == np.float32
    assert data.items.tolist() == [[1.5, 2.0], [3.0, 4.0]]
    assert data.labels == ("7", "2")


@pytest.mark.parametrize(
    ("content", "why"),
    [
        ("", "no rows"),
        ('{"text": "a", "label": "x"}\n{"text": "b"\n', "line 2: not JSON"),
        ('["a", "x"]\n', "line 1: not a JSON object"),
        ('{"text": "  ", "label": "x"}\n', "line 1: 'text' is missing"),
        ('{"text": 7, "label": "x"}\n', "line 1: 'text' is missing"),
        ('{"text": "a"}\n', "line 1: 'label' is missing"),
        ('{"text": "a", "label": null}\n', "'label' is missing"),
        ('{"text": "a", "label": true}\n', "'label' is missing"),
        (b'{"text": "\xff", "label": "x"}\n', "not UTF-8"),
    ],
)
def test_a_bad_jsonl_file_is_refused_with_the_line(tmp_path: Path, content: str | bytes, why: str) -> None:
    with pytest.raises(Invalid, match=why):
        load_dataset(write(tmp_path, content))


@pytest.mark.parametrize(
    ("arrays", "why"),
    [
        ({"X": np.ones((2, 2))}, "no array y"),
        ({"data": np.ones(2)}, "no array X or y"),
        ({"X": np.ones(4), "y": np.ones(4, int)}, r"X has shape \(4,\)"),
        ({"X": np.ones((2, 2)), "y": np.ones(3, int)}, r"y has shape \(3,\)"),
        ({"X": np.ones((2, 2)), "y": np.ones(2)}, "whole numbers or names"),
        ({"X": np.ones((0, 2)), "y": np.ones(0, int)}, "no rows"),
        ({"X": np.array([[1.0], [np.nan]]), "y": np.arange(2)}, "first in row 1"),
        ({"X": np.array([["a"], ["b"]]), "y": np.arange(2)}, "must be numbers"),
    ],
)
def test_a_bad_npz_file_is_refused(tmp_path: Path, arrays: dict[str, np.ndarray], why: str) -> None:
    np.savez(tmp_path / "pool.npz", **arrays)
    with pytest.raises(Invalid, match=why):
        load_dataset(tmp_path / "pool.npz")


def test_pickled_arrays_are_never_unpickled(tmp_path: Path) -> None:
    np.savez(tmp_path / "pool.npz", X=np.ones((2, 2)), y=np.array([{"a": 1}, None], dtype=object))
    with pytest.raises(Invalid, match=r"cannot be read as \.npz"):
        load_dataset(tmp_path / "pool.npz")


@pytest.mark.parametrize(
    ("name", "content", "why"),
    [
        ("pool.npz", b"PK\x03\x04rubbish", "cannot be read"),
        ("pool.npz", b"", "cannot be read"),
        ("pool.csv", b"a", "give a"),
    ],
)
def test_files_of_another_kind_are_refused(tmp_path: Path, name: str, content: bytes, why: str) -> None:
    with pytest.raises(Invalid, match=why):
        load_dataset(write(tmp_path, content, name))


def test_a_file_that_is_not_there_is_said_not_to_be(tmp_path: Path) -> None:
    with pytest.raises(Invalid, match="no such file"):
        load_dataset(tmp_path / "nothing.jsonl")
