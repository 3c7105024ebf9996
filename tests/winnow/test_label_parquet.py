"""Labels as Parquet: types, row groups, and memory."""

from __future__ import annotations

import io
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from winnow import label_parquet
from winnow.label_parquet import label_schema, parquet_pages
from winnow.label_rows import COLUMNS

EVERYTHING = (*COLUMNS, "superseded_at")


def row(n: int, **changed: Any) -> dict[str, Any]:
    found = {
        "id": str(n), "item": str(2 * n), "key": None, "label": "spam", "skip": False, "flag": None,
        "user": "a@example.org", "at": "2026-01-02T03:04:05.678901Z", "seconds": 0.1, "round": 3, "source": "human",
        "split": "pool", "mechanism": None, "probability": None, "superseded_at": None,
    }  # fmt: skip
    return found | changed


def opened(portions: Iterator[bytes]) -> Any:
    return pq.ParquetFile(io.BytesIO(b"".join(portions)))


def test_the_types_are_those_of_the_values() -> None:
    types = {field.name: str(field.type) for field in label_schema(EVERYTHING)}
    assert types == dict.fromkeys(EVERYTHING, "string") | {
        "skip": "bool",
        "at": "timestamp[us, tz=UTC]",
        "seconds": "double",
        "round": "int64",
        "probability": "double",
        "superseded_at": "timestamp[us, tz=UTC]",
    }


def test_row_groups_are_written_while_pages_come(monkeypatch: Any) -> None:
    monkeypatch.setattr(label_parquet, "_GROUP_ROWS", 20)
    taken = 0

    def pages() -> Iterator[list[dict[str, Any]]]:
        nonlocal taken
        for start in range(0, 55, 10):
            taken += 1
            yield [row(n) for n in range(start, min(start + 10, 55))]

    portions = parquet_pages(pages(), EVERYTHING)
    first = next(portions)
    assert first.startswith(b"PAR1")
    assert taken == 2
    file = opened(iter([first, *portions]))
    groups = [file.metadata.row_group(n).num_rows for n in range(file.metadata.num_row_groups)]
    assert groups == [20, 20, 15]
    assert file.read(use_threads=False).column("id").to_pylist() == [str(n) for n in range(55)]


def test_without_labels_there_are_columns_all_the_same() -> None:
    file = opened(parquet_pages([], COLUMNS))
    assert file.metadata.num_rows == 0
    assert file.schema_arrow.names == list(COLUMNS)
    assert file.schema_arrow.field("at").type == pa.timestamp("us", tz="UTC")


def test_a_file_that_broke_off_is_not_taken_for_a_whole_one() -> None:
    portions = parquet_pages([[row(1)]], COLUMNS)
    begun = next(portions)
    with pytest.raises(pa.ArrowInvalid):
        opened(iter([begun]))
    assert opened(iter([begun, *portions])).metadata.num_rows == 1
