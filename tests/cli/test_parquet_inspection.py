from __future__ import annotations

import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from cli.errors import CommandError
from cli.inspection import inspect_file


@pytest.fixture
def write(tmp_path):
    def written(name="rows.parquet", **columns):
        file = tmp_path / name
        pq.write_table(pa.table(columns), file)
        return file

    return written


def test_texts_and_classes_in_the_order_of_first_sight(write):
    plan = inspect_file(write(text=["a", "b", "c"], label=["spam", "ham", "spam"]))
    assert (plan.name, plan.task, plan.format, plan.mapping) == ("rows", "text", "parquet", None)
    assert plan.labels == ["spam", "ham"]


def test_it_is_known_by_its_first_bytes_whatever_it_is_called(write):
    assert inspect_file(write(name="rows.csv", text=["a"])).format == "parquet"


def test_columns_with_other_names_are_mapped(write):
    plan = inspect_file(write(id=["1", "2"], Subject=["a long subject", "another"], Topic=[2.0, None]))
    assert plan.mapping == {"text": "Subject", "label": "Topic"}
    assert plan.labels == ["2"]


def test_a_column_that_cannot_hold_classes_is_not_taken_for_them(write):
    plan = inspect_file(write(text=["a", "b"], category=[{"id": 1}, {"id": 2}], target=[[0.5], [1.0]]))
    assert (plan.task, plan.mapping, plan.labels) == ("text", None, [])
    plan = inspect_file(write(text=["a", "b"], label=[[1], [2]], target=["spam", "ham"]))
    assert (plan.mapping, plan.labels) == ({"text": "text", "label": "target"}, ["spam", "ham"])


def test_classes_that_are_true_and_false_are_called_so(write):
    assert inspect_file(write(text=["a", "b", "c"], label=[True, None, False])).labels == ["True", "False"]


def test_images_and_features_are_told_by_their_columns(write):
    assert inspect_file(write(image=[{"bytes": b"x", "path": "a"}])).task == "image"
    plan = inspect_file(write(img=[b"x"], label=[0]))
    assert (plan.task, plan.mapping, plan.labels) == ("image", {"label": "label", "image": "img"}, ["0"])
    assert inspect_file(write(features=[[1.0, 2.0]])).task == "features"


def test_classes_of_a_hugging_face_data_set_are_all_named(tmp_path):
    about = {"info": {"features": {"label": {"names": ["ham", "spam", "eggs"], "_type": "ClassLabel"}}}}
    table = pa.table({"text": ["a"], "label": [1]}).replace_schema_metadata({"huggingface": json.dumps(about)})
    pq.write_table(table, tmp_path / "rows.parquet")
    assert inspect_file(tmp_path / "rows.parquet").labels == ["ham", "spam", "eggs"]


def test_what_cannot_be_labelled_is_said(write, tmp_path):
    with pytest.raises(CommandError, match="no column of texts, images or features"):
        inspect_file(write(n=[1], m=[2]))
    broken = tmp_path / "broken.parquet"
    broken.write_bytes(b"PAR1 and no more")
    with pytest.raises(CommandError, match="not a Parquet file that can be read"):
        inspect_file(broken)
