from __future__ import annotations

import json
import zipfile

import numpy as np
import pytest

from cli.errors import CommandError
from cli.inspection import inspect_file


def test_a_csv_gives_its_texts_and_the_classes_in_order(tmp_path):
    file = tmp_path / "mail.csv"
    file.write_text('text,label\n"win, now",spam\nlunch?,ham\ncheap,spam\n')
    plan = inspect_file(file)
    assert (plan.name, plan.task, plan.format, plan.mapping) == ("mail", "text", "csv", None)
    assert plan.labels == ["spam", "ham"]


def test_columns_with_other_names_are_mapped(tmp_path):
    file = tmp_path / "mail.tsv"
    file.write_text("id\tsubject line\tTopic\n1\ta long subject\tx\n2\tanother long one\ty\n")
    plan = inspect_file(file)
    assert (plan.format, plan.mapping) == ("tsv", {"text": "subject line", "label": "Topic"})
    assert plan.labels == ["x", "y"]


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path):
    file = tmp_path / "mail.csv"
    file.write_bytes(b"\xef\xbb\xbftext\nhello\n")
    assert inspect_file(file).mapping is None


@pytest.mark.parametrize(("field", "value"), [("text", "a"), ("image", "aGk="), ("features", [1.0])])
def test_jsonl_says_what_it_holds_by_its_fields(tmp_path, field, value):
    file = tmp_path / "rows.jsonl"
    file.write_text("not json\n" + json.dumps({field: value, "label": "b"}) + "\n" + json.dumps({field: value}) + "\n")
    plan = inspect_file(file)
    assert (plan.task, plan.format, plan.labels) == (field, "jsonl", ["b"])


def test_folders_in_a_zip_of_images_are_classes(tmp_path):
    file = tmp_path / "animals.zip"
    with zipfile.ZipFile(file, "w") as archive:
        for name in ("cat/1.png", "dog/1.JPG", "cat/2.png", "root.png", "notes.txt"):
            archive.writestr(name, b"x")
    plan = inspect_file(file)
    assert (plan.task, plan.format, plan.labels) == ("image", "zip", ["cat", "dog"])


def test_npz_holds_features_and_classes(tmp_path):
    file = tmp_path / "rows.npz"
    np.savez(file, X=np.zeros((3, 2), dtype=np.float32), y=np.array([2, 0, 2]))
    plan = inspect_file(file)
    assert (plan.task, plan.format, plan.labels) == ("features", "npz", ["2", "0"])


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("empty.csv", b"", "is empty"),
        ("blank.csv", b"\n\n", "is empty"),
        ("photo.png", b"\x89PNG\r\n\x1a\n\x00\x00", "neither text nor a ZIP"),
        ("broken.zip", b"PK\x03\x04 and no more", "cannot be opened"),
        ("rows.jsonl", b'{"body": 1}\n', "no row has"),
    ],
)
def test_what_cannot_be_labelled_is_said(tmp_path, name, content, says):
    file = tmp_path / name
    file.write_bytes(content)
    with pytest.raises(CommandError, match=says):
        inspect_file(file)


def test_a_zip_without_images_is_refused(tmp_path):
    file = tmp_path / "notes.zip"
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("notes.txt", b"x")
    with pytest.raises(CommandError, match="no images"):
        inspect_file(file)
