"""Parquet files: every way to write a column, going on from any row, and files that mean harm."""

from __future__ import annotations

import base64
import datetime
import decimal
import io
import json
import os
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sqlalchemy import select

from tests.winnow.importing.test_formats import errors, kept, png, read, wanted
from tests.winnow.importing.test_run import Importer
from tests.winnow.pools import Pool
from winnow import jobs
from winnow.db.session import Database
from winnow.db.tables import Job
from winnow.errors import Invalid
from winnow.importing import parquet, parquet_reader
from winnow.importing import run as run_module
from winnow.importing.formats import read_rows
from winnow.importing.parquet_columns import Options
from winnow.importing.rows import RawRow, Wanted
from winnow.jobs import Interrupted
from winnow.settings import Settings
from winnow.storage import Storage


def written(columns: dict[str, Any] | pa.Table, **options: Any) -> bytes:
    table = columns if isinstance(columns, pa.Table) else pa.table(columns)
    out = io.BytesIO()
    pq.write_table(table, out, **options)
    return out.getvalue()


def decode(data: bytes, want: Wanted | None = None) -> list[RawRow]:
    """As `read`, in this process: quicker, and without its limits."""
    want = want or wanted()
    options = Options(want.task, want.mapping, want.use_labels, want.max_line_bytes)
    found = parquet_reader.read(io.BytesIO(data), options, 0)
    return [RawRow(row["line"], row.get("row"), row.get("error"), row["share"], {"row": row["line"]}) for row in found]


def refused(data: bytes, **options: Any) -> str:
    with pytest.raises(Invalid) as raised:
        decode(data, wanted(**options))
    return str(raised.value)


def refused_by_the_reader(data: bytes, **options: Any) -> str:
    with pytest.raises(Invalid) as raised:
        read(data, "parquet", wanted(**options))
    return str(raised.value)


def test_every_field_is_read_and_other_single_values_go_to_meta() -> None:
    data = written(
        {
            "Text": ["win a prize", "lunch?"],
            "label": ["spam", None],
            "key": [7, None],
            "split": ["test", ""],
            "meta": [{"from": "a", "n": 1}, None],
            "when": [datetime.datetime(2024, 5, 6, 7, tzinfo=datetime.UTC), None],
            "price": [decimal.Decimal("1.50"), None],
            "share": [0.5, float("nan")],
            "embedding": [[1.0], [2.0]],
        }
    )
    meta = {"when": "2024-05-06 07:00:00.000000Z", "price": "1.50", "share": 0.5, "from": "a", "n": 1}
    assert kept(decode(data)) == [
        {"text": "win a prize", "label": "spam", "key": 7, "split": "test", "meta": meta},
        {"text": "lunch?", "split": ""},
    ]


@pytest.mark.parametrize(
    "column",
    [
        pa.array(["a", "bä"]),
        pa.array(["a", "bä"], pa.large_string()),
        pa.array(["a", "bä"], pa.string_view()),
        pa.array([b"a", "bä".encode()]),
        pa.array(["a", "bä"]).dictionary_encode(),
    ],
    ids=lambda column: str(column.type)[:20],
)
def test_texts_are_read_from_every_type_of_string(column: Any) -> None:
    assert [row["text"] for row in kept(decode(written({"text": column})))] == ["a", "bä"]


@pytest.mark.parametrize(
    "column",
    [
        pa.array([{"bytes": png(), "path": "/etc/passwd"}, {"bytes": png(9), "path": None}]),
        pa.array([png(), png(9)]),
        pa.array([png(), png(9)], pa.large_binary()),
        pa.array([base64.b64encode(png()).decode(), base64.b64encode(png(9)).decode()]),
    ],
    ids=["struct", "binary", "large_binary", "base64"],
)
def test_images_are_bytes_in_the_file_and_a_path_is_never_followed(column: Any) -> None:
    rows = kept(read(written({"img": column, "label": ["spam", "ham"]}), "parquet", wanted("image")))
    images = [row["image"] if isinstance(row["image"], bytes) else base64.b64decode(row["image"]) for row in rows]
    assert images == [png(), png(9)]
    assert [sorted(row) for row in rows] == [["image", "label"]] * 2


def test_an_image_that_is_only_a_path_is_no_image(database: Database, settings: Settings, storage: Storage) -> None:
    pool = Pool.make(database, settings, task="image")
    importer = Importer(pool, storage)
    rows = [{"bytes": None, "path": "/etc/passwd"}, {"bytes": png(), "path": "a.png"}]
    job_id = importer.ask(written({"image": pa.array(rows)}), "in.parquet")
    importer.run(importer.attempt(job_id))
    result = importer.job(job_id).result
    assert result is not None
    assert (result["created"], [error["line"] for error in result["errors"]]) == (1, [1])


@pytest.mark.parametrize(
    "kind",
    [
        pa.list_(pa.float32()),
        pa.list_(pa.float64()),
        pa.large_list(pa.float32()),
        pa.list_(pa.float32(), 2),
        pa.list_(pa.int16()),
        pa.list_(pa.float16()),
    ],
    ids=str,
)
def test_features_are_lists_of_any_number(kind: Any) -> None:
    half = kind.value_type == pa.float16()
    column = pa.array([[np.float16(1), np.float16(-2)] if half else [1, -2], None], kind)
    rows = kept(decode(written({"features": column}), wanted("features")))
    assert rows == [{"features": np.array([1, -2], "<f4").tobytes()}, {}]


def test_what_is_missing_in_a_vector_makes_it_unusable(
    database: Database, settings: Settings, storage: Storage
) -> None:
    importer = Importer(Pool.make(database, settings, task="features"), storage)
    column = pa.array([[1.0, None], [1e300, 2.0], [1.0, 2.0], [3.0]])
    job_id = importer.ask(written({"features": column}), "in.parquet")
    importer.run(importer.attempt(job_id))
    result = importer.job(job_id).result
    assert result is not None
    reasons = [(error["line"], error["reason"].split()[0]) for error in result["errors"]]
    assert (result["created"], reasons) == (1, [(1, "features"), (2, "features"), (4, "features")])


def test_labels_may_be_strings_numbers_with_gaps_or_lists() -> None:
    text = ["a", "b", "c"]
    rows = kept(decode(written({"text": text, "label": [3.0, None, 4.0]})))
    assert [row.get("label") for row in rows] == [3, None, 4]
    rows = decode(written({"text": text, "label": [1.5, 1.0, 2.0]}))
    assert errors(rows) == [(1, "label: 1.5 is neither a name nor a whole number.")]
    rows = kept(decode(written({"text": text, "labels": [["spam"], [], None]})))
    assert [row.get("labels") for row in rows] == [["spam"], [], None]
    rows = kept(decode(written({"text": text, "label": ["spam"] * 3}), wanted(use_labels=False)))
    assert rows == [{"text": word} for word in text]


def test_true_and_false_are_classes_of_that_name(database: Database, settings: Settings, storage: Storage) -> None:
    pool = Pool.make(database, settings, classes=("True", "False"))
    importer = Importer(pool, storage)
    several = pa.array([None, None, None, [False], []], pa.list_(pa.bool_()))
    columns = {"text": ["a", "b", "c", "d", "e"], "label": [True, False, None, None, None], "labels": several}
    job_id = importer.ask(written(columns), "in.parquet")
    importer.run(importer.attempt(job_id))
    result = importer.job(job_id).result
    assert result is not None
    assert (result["created"], result["rejected"]) == (5, 0)
    labels = {row.item_id: row.value for row in pool.labels()}
    assert [labels.get(item.id) for item in pool.items()] == ["True", "False", None, "False", None]


def test_whole_numbers_in_a_list_may_be_floats() -> None:
    rows = decode(written({"text": ["a", "b"], "labels": [[3.0], [1.5]]}))
    assert [row["labels"] for row in kept(rows)] == [[3]]
    assert errors(rows) == [(2, "labels: 1.5 is neither a name nor a whole number.")]


def test_a_number_that_json_does_not_have_is_left_out_of_meta() -> None:
    data = written({"text": ["a", "b", "c", "d"], "x": [float("inf"), float("-inf"), float("nan"), 0.0]})
    assert kept(decode(data)) == [{"text": "a"}, {"text": "b"}, {"text": "c"}, {"text": "d", "meta": {"x": 0.0}}]


def test_times_in_a_zone_that_is_not_known_here_are_told_in_utc() -> None:
    when = pa.array([1_714_978_800_000_000, None], pa.timestamp("us", "Atlantis/Poseidonis"))
    rows = kept(decode(written({"text": ["a", "b"], "when": when})))
    assert rows == [{"text": "a", "meta": {"when": "2024-05-06 07:00:00.000000Z"}}, {"text": "b"}]


def test_numbers_of_a_hugging_face_data_set_stand_for_its_class_names() -> None:
    features = {
        "text": {"dtype": "string", "_type": "Value"},
        "label": {"names": ["ham", "spam"], "_type": "ClassLabel"},
    }
    table = pa.table({"text": ["a", "b", "c", "d"], "label": [1, 0, -1, 2]})
    known = table.replace_schema_metadata({"huggingface": json.dumps({"info": {"features": features}})})
    rows = decode(written(known))
    assert [row.get("label") for row in kept(rows)] == ["spam", "ham", None]
    assert errors(rows) == [(4, "label: 2, but the file names 2 classes.")]
    for nonsense in ("{", "[]", '{"info": {"features": {"label": 1}}}', '{"info": {"features": {"label": {}}}}'):
        rows = decode(written(table.replace_schema_metadata({"huggingface": nonsense})))
        assert [row["label"] for row in kept(rows)] == [1, 0, -1, 2]


def test_meta_may_be_a_struct_a_map_or_json() -> None:
    moment = datetime.datetime(2024, 1, 2)
    columns: list[tuple[Any, Any]] = [
        (pa.array([{"a": 1, "b": {"c": moment, "d": None}}]), {"a": 1, "b": {"c": "2024-01-02T00:00:00"}}),
        (pa.array([[("a", 1), ("b", 2)]], pa.map_(pa.string(), pa.int64())), {"a": 1, "b": 2}),
        (pa.array(['{"a": [1]}']), {"a": [1]}),
    ]
    for column, found in columns:
        assert kept(decode(written({"text": ["x"], "meta": column})))[0]["meta"] == found
    for column in (pa.array([{"a": b"x"}]), pa.array(["{"]), pa.array([[("a", 1), ("a", 2)]], columns[1][0].type)):
        [(line, reason)] = errors(decode(written({"text": ["x"], "meta": column})))
        assert (line, reason.split()[0]) == (1, "meta:")


def test_columns_are_mapped_by_name() -> None:
    data = written({"a.b": ["x"], "text": ["no"], "of": ["ham"]})
    rows = kept(decode(data, wanted(mapping={"text": "a.b", "label": "of"})))
    assert rows == [{"text": "x", "label": "ham", "meta": {"text": "no"}}]
    assert "there is no column 'c'" in refused(data, mapping={"text": "c"})
    assert kept(decode(written({"whatever": ["x"]}))) == [{"text": "x"}]
    assert "No column is named text; the columns are 'a', 'b'" in refused(written({"a": ["x"], "b": ["y"]}))
    twice = pa.table([pa.array(["x"]), pa.array(["y"])], names=["text", "text"])
    assert "Two columns are named 'text'" in refused(written(twice))


@pytest.mark.parametrize(
    ("columns", "says"),
    [
        ({"text": [1, 2]}, "holds int64; as text it must hold strings"),
        ({"text": [["a"]]}, "as text it must hold strings"),
        ({"text": ["a"], "label": [{"a": 1}]}, "as label it must hold strings or whole numbers"),
        ({"text": ["a"], "labels": ["spam"]}, "as labels it must hold lists of strings"),
        ({"text": ["a"], "key": [True]}, "as key it must hold strings or whole numbers"),
        ({"text": ["a"], "meta": [[1]]}, "as meta it must hold structs, maps or JSON"),
        ({"text": ["a"], "split": [1]}, "as split it must hold strings"),
    ],
)
def test_a_column_of_the_wrong_type_is_named_where_it_was_asked_for(columns: dict[str, Any], says: str) -> None:
    mapping = {name: name for name in columns if name != "text"}
    assert says in refused(written(columns), mapping=mapping)


def test_a_column_whose_name_is_known_is_not_taken_for_what_its_type_cannot_be() -> None:
    day = datetime.date(2024, 5, 6)
    columns = {
        "text": ["a"],
        "id": pa.array([b"0123456789abcdef"], pa.binary(16)),
        "target": [[0.5, 1.0]],
        "category": [{"id": 1}],
        "split": [3],
        "meta": [[1, 2]],
    }
    assert kept(decode(written(columns))) == [{"text": "a", "meta": {"split": 3}}]
    assert kept(decode(written({"text": ["a"], "id": [day]}))) == [{"text": "a", "meta": {"id": "2024-05-06"}}]
    second = {"text": ["a"], "label": [[1]], "category": ["spam"], "key": [True], "id": ["k"]}
    assert kept(decode(written(second))) == [{"text": "a", "label": "spam", "key": "k", "meta": {"key": True}}]


def test_a_string_that_is_none_costs_its_row_only() -> None:
    broken = pa.Array.from_buffers(pa.string(), 3, pa.array([b"a", b"\xff", b"c"]).buffers())
    rows = decode(written({"text": broken}))
    assert [row["text"] for row in kept(rows)] == ["a", "c"]
    assert errors(rows) == [(2, "text: this is not valid UTF-8.")]


def test_reading_goes_on_from_any_row_across_row_groups() -> None:
    data = written({"text": [f"t{i}" for i in range(25)]}, row_group_size=10)
    whole = read(data, "parquet")
    assert [row.line for row in whole] == list(range(1, 26))
    assert [row.share for row in whole[-2:]] == [0.96, 1.0]
    for place in (1, 9, 10, 17, 24, 25):
        rest = list(read_rows(io.BytesIO(data), "parquet", wanted(), whole[place - 1].after))
        assert rest == whole[place:]


def test_killed_after_any_transaction_it_goes_on_and_adds_each_row_once(
    database: Database, settings: Settings, storage: Storage, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(run_module, "_FIRST_ROWS", 10)
    monkeypatch.setattr(run_module, "_LEAST_ROWS", 10)
    monkeypatch.setattr(run_module, "_MOST_ROWS", 10)
    importer = Importer(Pool.make(database, settings), storage)
    texts = [f"text number {i}" for i in range(25)] + [""]
    job_id = importer.ask(written({"text": texts}, row_group_size=8), "in.parquet")
    attempts = 0
    while importer.job(job_id).state != "succeeded":
        attempts += 1
        context = importer.attempt(job_id)

        def interrupt() -> None:
            raise Interrupted("stopped")

        context.pause_point = interrupt  # type: ignore[method-assign]
        try:
            importer.run(context)
        except Interrupted:
            with database.write() as session:
                jobs.release(session, job_id, context.attempt, "stopped")
    result = importer.job(job_id).result
    assert result is not None
    assert (result["created"], result["duplicates"], result["rejected"]) == (25, 0, 1)
    assert attempts == 3
    assert [item.text for item in importer.pool.items()] == texts[:-1]


def test_a_process_that_was_left_is_gone() -> None:
    rows = read_rows(io.BytesIO(written({"text": ["a"] * 100_000})), "parquet", wanted())
    next(iter(rows))
    [reader] = [line for line in children() if "parquet_reader" in line]
    rows.close()  # type: ignore[attr-defined]
    assert reader not in children()


def children() -> list[str]:
    """The command lines of this process's children, with their ids."""
    tasks = Path(f"/proc/{os.getpid()}/task").iterdir()
    ids = [child for task in tasks for child in (task / "children").read_text().split()]
    return [child + Path(f"/proc/{child}/cmdline").read_text().replace("\0", " ") for child in ids]


# --- files that mean harm, or are broken ---------------------------------------------------------------------------


GOOD = written({"text": [f"text {i}" for i in range(2000)]}, compression="none", use_dictionary=False)


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "empty"),
        (b"PAR1", "cut off"),
        (b"text\nhello\n", "not a Parquet file"),
        (GOOD[:-1], "cut off"),
        (GOOD[: len(GOOD) // 2], "cut off"),
        (GOOD[:-8] + struct.pack("<I", 1 << 30) + b"PAR1", "longer than the file"),
        (GOOD[:-4] + b"PARE", "encrypted"),
        (GOOD[:-200] + b"\xff" * 192 + GOOD[-8:], "damaged"),
        (b"PAR1" + b"\xff" * 5000 + GOOD[5004:], "damaged"),
    ],
    ids=["empty", "magic only", "csv", "cut by one", "cut in half", "footer", "encrypted", "thrift", "pages"],
)
def test_a_broken_file_is_refused_with_its_reason(data: bytes, says: str) -> None:
    assert says in refused_by_the_reader(data)


def test_a_file_that_breaks_half_way_says_from_where() -> None:
    data = bytearray(written({"text": [f"text {i}" for i in range(300)]}, row_group_size=100, use_dictionary=False))
    start = pq.ParquetFile(pa.BufferReader(bytes(data))).metadata.row_group(2).column(0).data_page_offset
    data[start : start + 60] = b"\xff" * 60
    rows = read_rows(io.BytesIO(bytes(data)), "parquet", wanted())
    assert [next(rows).line for _ in range(200)] == list(range(1, 201))
    with pytest.raises(Invalid, match="Its rows before 201 were added"):
        next(rows)


def bomb_of_pages() -> bytes:
    return written({"text": ["x" * (96 << 20)]}, compression="zstd", use_dictionary=False)


def bomb_of_a_dictionary() -> bytes:
    column = pa.DictionaryArray.from_arrays(pa.array(np.zeros(2000, np.int32)), ["x" * (1 << 20)])
    return written({"text": column}, compression="zstd")


def bomb_of_a_list() -> bytes:
    values = pa.array(np.zeros(40_000_000, np.float32))
    column = pa.LargeListArray.from_arrays(pa.array([0, len(values)], pa.int64()), values)
    return written({"features": column}, compression="zstd")


def bomb_of_a_footer() -> bytes:
    def size(n: int) -> bytes:
        return bytes([n & 127 | 128]) + size(n >> 7) if n > 127 else bytes([n])

    n = 900_000
    schema = b"\x48\x06schema\x15\x02\x00" + b"\x15\x0c\x25\x02\x18\x04text\x00"
    group = b"\x19\xfc" + size(n) + b"\x26\x00\x00" * n + b"\x16\x00\x16\x02\x00"
    footer = b"\x15\x04\x19\x2c" + schema + b"\x16\x02\x19\x1c" + group + b"\x00"
    return b"PAR1" + footer + struct.pack("<I", len(footer)) + b"PAR1"


@pytest.mark.parametrize(
    ("make", "task"),
    [
        (bomb_of_pages, "text"),
        (bomb_of_a_dictionary, "text"),
        (bomb_of_a_list, "features"),
        (bomb_of_a_footer, "text"),
    ],
)
def test_what_unfolds_to_much_more_than_it_is_costs_the_reader_its_life_only(
    make: Any, task: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet, "MEMORY_BYTES", 64 << 20)
    data = make()
    assert len(data) < 3 << 20
    before = own_memory()
    assert "memory" in refused_by_the_reader(data, task=task)
    assert own_memory() - before < 16 << 20


def own_memory() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def test_a_long_file_is_read_in_the_memory_of_a_short_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet, "MEMORY_BYTES", 48 << 20)
    text = np.random.default_rng(0).integers(97, 122, 40_000, np.uint8).tobytes().decode()
    table = pa.table({"text": [f"{i} {text}" for i in range(3_000)]})  # 120 MB
    data = written(table, row_group_size=100, compression="none", use_dictionary=False)
    assert sum(1 for row in read_rows(io.BytesIO(data), "parquet", wanted()) if row.row) == 3_000


def test_a_reader_that_takes_for_ever_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parquet._Pipe, "begins", lambda pipe: True)
    monkeypatch.setattr(parquet, "PATIENCE_SECONDS", 0.0)
    assert "too long" in refused_by_the_reader(GOOD)


def test_a_reader_that_does_not_start_is_our_fault_and_not_the_files(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("sys.executable", "/bin/false")
    with pytest.raises(RuntimeError, match="did not start"):
        read(GOOD, "parquet")


def test_the_reader_knows_no_secret_of_the_service(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    shown = tmp_path / "environment"
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\nenv > {shown}\n")
    python.chmod(0o755)
    monkeypatch.setenv("WINNOW_DATABASE_URL", "postgresql://winnow:secret@db/winnow")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    monkeypatch.setattr("sys.executable", str(python))
    with pytest.raises(RuntimeError):
        read(GOOD, "parquet")
    assert "secret" not in shown.read_text()


def test_a_file_that_cannot_be_used_leaves_nothing_behind(
    database: Database, settings: Settings, storage: Storage
) -> None:
    importer = Importer(Pool.make(database, settings), storage)
    context = importer.attempt(importer.ask(GOOD[:-1], "in.parquet"))
    with pytest.raises(Invalid, match="cut off"):
        importer.run(context)
    assert importer.pool.items() == []
    with database.read() as session:
        assert [job.kind for job in session.scalars(select(Job))] == ["import"]
    context = importer.attempt(importer.ask(written({"text": pa.array([], pa.string())}), "in.parquet"))
    with pytest.raises(Invalid, match="no rows"):
        importer.run(context)
