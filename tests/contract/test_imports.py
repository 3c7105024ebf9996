"""Files in: what is kept, what is refused, and what it says."""

from __future__ import annotations

import io
import json
import zipfile
from datetime import datetime
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.contract.conftest import make_project, png, texts, wait_job
from tests.contract.test_labeling import batch, export
from tests.contract.test_people import problem


def bring(client: httpx.Client, project: str, name: str, data: bytes, **fields: str) -> dict[str, Any]:
    answer = client.post(f"/projects/{project}/imports", files={"file": (name, data)}, data=fields)
    assert answer.status_code == 202, answer.text
    job = answer.json()
    assert job["kind"] == "import"
    return wait_job(client, job)


def bring_well(client: httpx.Client, project: str, name: str, data: bytes, **fields: str) -> dict[str, Any]:
    job = bring(client, project, name, data, **fields)
    assert job["state"] == "succeeded", job
    assert job["progress"] == 1
    result: dict[str, Any] = job["result"]
    assert set(result) >= {"created", "duplicates", "rejected", "errors"}
    assert isinstance(result["rejected"], int)
    return result


def jsonl(rows: list[dict[str, Any]]) -> bytes:
    return "".join(json.dumps(row) + "\n" for row in rows).encode()


def test_jsonl_with_a_broken_line_in_the_middle(owner: httpx.Client) -> None:
    project = make_project(owner)["id"]
    rows = [{"text": text} for text, _ in texts(5)]
    data = jsonl(rows[:2]) + b'{"text": "brok\n' + jsonl(rows[2:]) + b"\xff\xfe\n" + jsonl(rows[:1])
    result = bring_well(owner, project, "in.jsonl", data)
    assert (result["created"], result["duplicates"], result["rejected"]) == (5, 1, 2)
    assert [e["line"] for e in result["errors"]] == [3, 7]
    assert all(e["reason"] for e in result["errors"])


def test_csv_with_a_broken_row_in_the_middle(owner: httpx.Client) -> None:
    project = make_project(owner)["id"]
    data = b'text,label\n"one, with a comma",spam\ntwo\n"three\nlines",ham\nfour,ham,extra\nfive,eggs\nsix,\n'
    result = bring_well(owner, project, "in.csv", data)
    assert result["created"] == 3
    assert result["rejected"] == 3
    assert [e["line"] for e in result["errors"]] == [3, 6, 7]
    assert sorted(r["label"] for r in export(owner, project)) == ["ham", "spam"]


def test_csv_columns_are_mapped_by_name(owner: httpx.Client) -> None:
    project = make_project(owner)["id"]
    data = "id;x\n".replace(";", ",").encode() + b"7,hello there\n"
    result = bring_well(owner, project, "in.csv", data, mapping=json.dumps({"text": "x", "key": "id"}))
    assert result["created"] == 1
    item = batch(owner, project, 1)[0]
    assert (item["key"], item["text"]) == ("7", "hello there")


def test_parquet_in_and_out(owner: httpx.Client) -> None:
    project = make_project(owner)["id"]
    table = pa.table(
        {"text": ["one", "two", None, "four"], "label": ["spam", None, "ham", "eggs"], "key": ["a", "b", "c", "d"]}
    )
    data = io.BytesIO()
    pq.write_table(table, data)
    result = bring_well(owner, project, "upload", data.getvalue())
    assert (result["created"], result["rejected"]) == (2, 2)
    assert [error["line"] for error in result["errors"]] == [3, 4]
    problem(owner.get(f"/projects/{project}/labels", params={"format": "hf"}), 501)
    answer = owner.get(f"/projects/{project}/labels", params={"format": "parquet"})
    assert answer.status_code == 200
    [row] = pq.ParquetFile(io.BytesIO(answer.content)).read(use_threads=False).to_pylist()
    [line] = export(owner, project)
    assert row | {"at": None} == line | {"at": None}
    assert row["at"] == datetime.fromisoformat(line["at"])


@pytest.mark.parametrize("data", [b"PAR1", b"PAR1" + b"\0" * 100 + b"PAR1", b"PAR1" + b"\0" * 100])
def test_a_broken_parquet_file_fails_with_its_reason(owner: httpx.Client, data: bytes) -> None:
    project = make_project(owner)["id"]
    job = bring(owner, project, "in.parquet", data)
    assert job["state"] == "failed"
    assert job["error"]["status"] == 422
    assert "file" in job["error"]["detail"]


def test_tsv(owner: httpx.Client) -> None:
    project = make_project(owner)["id"]
    assert bring_well(owner, project, "in.tsv", b"text\tlabel\na b\tspam\nc\t\n")["created"] == 2


def test_an_unclosed_quote_does_not_swallow_the_file(owner: httpx.Client) -> None:
    project = make_project(owner)["id"]
    rows = "".join(f"row number {i}\n" for i in range(2000))
    result = bring_well(owner, project, "in.csv", f'text\nfirst\n"never closed\n{rows}'.encode())
    assert result["created"] >= 2000 - 1000
    assert result["rejected"] >= 1


def test_own_test_rows_are_never_served(owner: httpx.Client) -> None:
    project = make_project(owner)["id"]
    rows: list[dict[str, Any]] = [{"text": "pool item"}]
    rows += [{"text": "test item", "label": "spam", "split": "test"}, {"text": "no label", "split": "test"}]
    result = bring_well(owner, project, "in.jsonl", jsonl(rows))
    assert (result["created"], result["rejected"]) == (2, 1)
    assert [i["text"] for i in batch(owner, project, 10)] == ["pool item"]
    assert [r["split"] for r in export(owner, project)] == ["test"]


def test_the_same_file_again_is_all_duplicates_or_updates(owner: httpx.Client) -> None:
    project = make_project(owner)["id"]
    rows = [{"text": "a", "key": "1", "meta": {"v": 1}}, {"text": "b", "key": "2"}]
    assert bring_well(owner, project, "in.jsonl", jsonl(rows))["created"] == 2
    again = bring_well(owner, project, "in.jsonl", jsonl(rows))
    assert (again["created"], again["duplicates"]) == (0, 2)
    rows[0]["meta"] = {"v": 2}
    bring_well(owner, project, "in.jsonl", jsonl(rows), on_duplicate="update")
    metas = {i["key"]: i["meta"] for i in owner.get(f"/projects/{project}/items").json()["data"]}
    assert metas["1"] == {"v": 2}
    rows[1]["label"] = "ham"
    bring_well(owner, project, "in.jsonl", jsonl(rows), on_duplicate="merge_labels")
    assert [r["label"] for r in export(owner, project)] == ["ham"]
    assert owner.get(f"/projects/{project}/stats").json()["items"] == 2


def test_a_zip_of_images_with_a_stranger_in_it(owner: httpx.Client) -> None:
    project = make_project(owner, task="image", settings={"encoder": "auto"})["id"]
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as archive:
        archive.writestr("spam/1.png", png(1))
        archive.writestr("ham/2.png", png(2))
        archive.writestr("3.png", png(3))
        archive.writestr("ham/notes.txt", "no image")
        archive.writestr("../../evil.png", png(4))
    result = bring_well(owner, project, "in.zip", out.getvalue())
    assert result["created"] in (3, 4)
    assert result["rejected"] == 5 - result["created"]
    assert sorted(r["label"] for r in export(owner, project)) == ["ham", "spam"]


def test_npz_with_and_without_classes(owner: httpx.Client) -> None:
    project = make_project(owner, task="features", settings={"encoder": "auto"})["id"]
    out = io.BytesIO()
    np.savez(out, X=np.arange(12, dtype=np.float32).reshape(4, 3))
    assert bring_well(owner, project, "in.npz", out.getvalue())["created"] == 4
    labelled = make_project(owner, task="features", settings={"encoder": "auto"})["id"]
    out = io.BytesIO()
    np.savez(out, X=np.arange(12, dtype=np.float32).reshape(4, 3), y=np.array(["spam", "ham", "spam", "ham"]))
    assert bring_well(owner, labelled, "in.npz", out.getvalue())["created"] == 4
    assert len(export(owner, labelled)) == 4


def test_a_pickle_in_npz_is_refused(owner: httpx.Client) -> None:
    project = make_project(owner, task="features", settings={"encoder": "auto"})["id"]
    out = io.BytesIO()
    np.savez(out, X=np.array([{"a": 1}], dtype=object))
    job = bring(owner, project, "in.npz", out.getvalue())
    assert job["state"] == "failed"
    assert job["error"]["detail"]


@pytest.mark.parametrize(
    ("name", "data"), [("in.csv", b""), ("in.jsonl", b""), ("in.zip", b"PK broken"), ("in.npz", b"")]
)
def test_an_empty_or_broken_file_fails_with_a_reason(owner: httpx.Client, name: str, data: bytes) -> None:
    task = {"in.zip": "image", "in.npz": "features"}.get(name, "text")
    project = make_project(owner, task=task, settings={"encoder": "auto"})["id"]
    answer = owner.post(f"/projects/{project}/imports", files={"file": (name, data)})
    if answer.status_code == 422:
        problem(answer, 422)
    else:
        job = wait_job(owner, answer.json())
        assert job["state"] == "failed"
        assert {"type", "title", "status", "detail"} <= set(job["error"])
    assert owner.get(f"/projects/{project}/stats").json()["items"] == 0


def test_a_line_without_end_does_not_fill_the_memory(owner: httpx.Client, tmp_path: Path) -> None:
    project = make_project(owner)["id"]
    path = tmp_path / "long.jsonl"
    with path.open("wb") as file:
        file.write(b'{"text": "first"}\n{"text": "')
        for _ in range(64):
            file.write(b"x" * (1 << 20))
        file.write(b'"}\n{"text": "last"}\n')
    with path.open("rb") as file:
        answer = owner.post(f"/projects/{project}/imports", files={"file": ("long.jsonl", file)})
    result = wait_job(owner, answer.json())["result"]
    assert (result["created"], result["rejected"]) == (2, 1)
    assert result["errors"][0]["line"] == 2


def test_by_address_comes_later(owner: httpx.Client) -> None:
    project = make_project(owner)["id"]
    problem(owner.post(f"/projects/{project}/imports", json={"url": "http://127.0.0.1/x"}), 501)


def test_an_address_in_a_form_is_not_there_yet_either(owner: httpx.Client) -> None:
    project = make_project(owner)["id"]
    at = f"/projects/{project}/imports"
    problem(owner.post(at, data={"url": "http://127.0.0.1/x"}), 501)
    problem(owner.post(at, files={"url": (None, "http://127.0.0.1/x")}), 501)
    problem(owner.post(at, data={"file": "x"}), 422)
    problem(owner.post(at, content=b"x", headers={"Content-Type": "multipart/form-data; boundary=y"}), 422)
