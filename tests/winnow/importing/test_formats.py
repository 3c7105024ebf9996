"""Every parser: what is a row, what is an error, and going on from any position."""

from __future__ import annotations

import io
import json
import struct
import tracemalloc
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest
from PIL import Image

from winnow.errors import Invalid, NotYet
from winnow.importing.formats import check_format, detect_format, read_rows
from winnow.importing.rows import RawRow, Wanted
from winnow.settings import Settings


def wanted(task: str = "text", **changed: Any) -> Wanted:
    settings = Settings(**changed.pop("settings", {}))
    return Wanted(task=task, classes=changed.pop("classes", ("spam", "ham")), settings=settings, **changed)


def read(data: bytes, format: str, want: Wanted | None = None) -> list[RawRow]:
    return list(read_rows(io.BytesIO(data), format, want or wanted()))


def kept(rows: list[RawRow]) -> list[Any]:
    return [row.row for row in rows if row.row is not None]


def errors(rows: list[RawRow]) -> list[tuple[int, str]]:
    return [(row.line, row.error) for row in rows if row.error is not None]


def png(shade: int = 0) -> bytes:
    out = io.BytesIO()
    Image.new("L", (3, 3), shade).save(out, "PNG")
    return out.getvalue()


def archive(**members: bytes) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as made:
        for name, data in members.items():
            made.writestr(name, data)
    return out.getvalue()


def npz(**arrays: Any) -> bytes:
    out = io.BytesIO()
    np.savez(out, **arrays)
    return out.getvalue()


# JSONL


def test_jsonl_rows_are_objects_and_what_is_not_ours_goes_to_meta() -> None:
    data = b'\xef\xbb\xbf{"text": "a", "label": "spam"}\n\n{"text": "b", "n": 1, "meta": {"m": 2}}\r\n{"text": "c"}'
    rows = read(data, "jsonl")
    assert kept(rows) == [{"text": "a", "label": "spam"}, {"text": "b", "meta": {"n": 1, "m": 2}}, {"text": "c"}]
    assert [row.line for row in rows] == [1, 3, 4]


def test_jsonl_fields_can_be_mapped() -> None:
    rows = read(b'{"body": "a", "id": "7", "x": 1}', "jsonl", wanted(mapping={"text": "body", "key": "id"}))
    assert kept(rows) == [{"text": "a", "key": "7", "meta": {"x": 1}}]


def test_broken_jsonl_lines_are_named_and_the_rest_goes_on() -> None:
    rows = read(b'{"text": "a"}\n{"text\n[1]\n\xff\n' + b"[" * 100_000 + b'\n{"text": "b"}\n', "jsonl")
    assert kept(rows) == [{"text": "a"}, {"text": "b"}]
    assert [line for line, _ in errors(rows)] == [2, 3, 4, 5]
    assert "not valid JSON" in errors(rows)[0][1]
    assert "object" in errors(rows)[1][1]
    assert "UTF-8" in errors(rows)[2][1]


# CSV


def test_csv_columns_are_found_by_name_and_the_others_are_meta() -> None:
    data = b"ID,Text,Class,page\n7,hello,spam,3\n8,there,,\n"
    assert kept(read(data, "csv")) == [
        {"key": "7", "text": "hello", "label": "spam", "meta": {"page": "3"}},
        {"key": "8", "text": "there"},
    ]


def test_a_csv_with_one_column_is_text() -> None:
    assert kept(read(b"whatever\nhello\n", "csv")) == [{"text": "hello"}]


def test_a_csv_without_a_text_column_names_its_columns() -> None:
    with pytest.raises(Invalid, match=r"the columns are 'a', 'b'.*mapping"):
        read(b"a,b\n1,2\n", "csv")
    with pytest.raises(Invalid, match="no column 'x'"):
        read(b"a,b\n1,2\n", "csv", wanted(mapping={"text": "x"}))
    with pytest.raises(Invalid, match="Two columns"):
        read(b"text,text\n1,2\n", "csv")


def test_csv_cells_may_hold_commas_quotes_and_lines() -> None:
    data = b'text,label\r\n"a, ""b""\r\nc",spam\r\nplain,ham\r\n'
    rows = read(data, "csv")
    assert kept(rows) == [{"text": 'a, "b"\r\nc', "label": "spam"}, {"text": "plain", "label": "ham"}]
    assert [row.line for row in rows] == [2, 4]


def test_semicolons_and_tabs_are_understood() -> None:
    assert kept(read(b"text;label\na, b;spam\n", "csv")) == [{"text": "a, b", "label": "spam"}]
    assert kept(read(b"text\tlabel\na, b\tspam\n", "tsv")) == [{"text": "a, b", "label": "spam"}]


def test_neutralised_formulas_are_restored() -> None:
    assert kept(read(b"text\n'=1+1\n''=x\n'quoted'\n-plain\n", "csv")) == [
        {"text": "=1+1"},
        {"text": "'=x"},
        {"text": "'quoted'"},
        {"text": "-plain"},
    ]


def test_broken_csv_rows_are_named_and_the_rest_goes_on() -> None:
    data = b'text,label\ngood,spam\none cell\nfour,ham,extra\n"a"b,ham\n\xff,ham\n5" disk,ham\nlast,ham\n'
    rows = read(data, "csv")
    assert [row["text"] for row in kept(rows)] == ["good", '5" disk', "last"]
    assert [line for line, _ in errors(rows)] == [3, 4, 5, 6]


def test_a_quote_that_never_closes_costs_one_row() -> None:
    lines = b"".join(b"row %d\n" % n for n in range(3000))
    rows = read(b'text\nfirst\n"never closed\n' + lines, "csv")
    assert len(kept(rows)) == 3001
    assert errors(rows) == [(3, "A quote that opens in this row is not closed; close it, or double it.")]


def test_a_quote_that_never_closes_near_the_end_costs_one_row() -> None:
    rows = read(b'text\n"open\na\nb\n', "csv")
    assert [row["text"] for row in kept(rows)] == ["a", "b"]


def test_csv_features_and_meta_are_json() -> None:
    data = b'features,meta\n"[0.5, 1]","{""a"": 1}"\nx,\n'
    rows = read(data, "csv", wanted("features"))
    assert kept(rows) == [{"features": [0.5, 1], "meta": {"a": 1}}]
    assert "features must be JSON" in errors(rows)[0][1]


# ZIP


def test_the_folder_is_the_label_where_it_is_a_class() -> None:
    data = archive(
        **{
            "set/spam/1.png": png(1),
            "set/ham/2.png": png(2),
            "3.png": png(3),
            "set/eggs/4.png": png(4),
            "__MACOSX/spam/._1.png": b"x",
            "spam/.DS_Store": b"x",
            "../../spam/5.png": png(5),
        }
    )
    rows = read(data, "zip", wanted("image"))
    assert [(row["key"], row["label"]) for row in kept(rows)] == [
        ("set/spam/1.png", "spam"),
        ("set/ham/2.png", "ham"),
        ("3.png", None),
        ("spam/5.png", "spam"),
    ]
    assert "folder 'eggs' is not a class" in errors(rows)[0][1]
    assert kept(rows)[0]["image"] == png(1)


def test_folders_that_are_no_classes_mean_nothing() -> None:
    data = archive(**{"photos/1.png": png(1), "photos/spam.png": png(2)})
    assert [row["label"] for row in kept(read(data, "zip", wanted("image")))] == [None, None]
    labelled = archive(**{"spam/1.png": png(1)})
    assert [r["label"] for r in kept(read(labelled, "zip", wanted("image", use_labels=False)))] == [None]


def test_members_that_unfold_too_far_or_are_too_large_are_not_read() -> None:
    data = archive(
        **{"bomb.png": bytes(5_000_000), "large.png": np.random.default_rng(0).bytes(200_000), "1.png": png()}
    )
    rows = read(data, "zip", wanted("image", settings={"max_image_bytes": 100_000}))
    assert [row["key"] for row in kept(rows)] == ["1.png"]
    assert "larger than" in errors(rows)[0][1]
    rows = read(data, "zip", wanted("image"))
    assert "200 times" in errors(rows)[0][1]


def test_an_encrypted_or_damaged_member_is_named() -> None:
    data = bytearray(archive(**{"a.png": png(), "b.png": png(9)}))
    central = data.index(b"PK\x01\x02")
    data[central + 8] |= 1
    at = data.index(b"b.png") + len("b.png") + 4
    data[at] ^= 0xFF
    rows = read(bytes(data), "zip", wanted("image"))
    assert "encrypted" in errors(rows)[0][1]
    assert "damaged" in errors(rows)[1][1]


@pytest.mark.parametrize(
    "data",
    [b"", b"PK broken", b"PK\x05\x06" + bytes(10), archive(), archive(a=b"x")[:-30]],
    # Not the bytes themselves: an archive holds the time at which it was made, and all processes need the same names.
    ids=["nothing", "no archive", "half an end", "no members", "no end"],
)
def test_what_is_no_archive_is_refused(data: bytes) -> None:
    with pytest.raises(Invalid):
        read(data, "zip", wanted("image"))


def test_an_archive_that_claims_too_many_members_is_not_opened() -> None:
    data = bytearray(archive(a=png()))
    end = data.rindex(b"PK\x05\x06")
    data[end + 12 : end + 16] = struct.pack("<I", 1 << 30)
    with pytest.raises(Invalid, match="members"):
        read(bytes(data), "zip", wanted("image"))


# NPZ


def test_npz_rows_are_features_with_labels_by_name_or_place() -> None:
    X = np.arange(8, dtype=np.float64).reshape(4, 2)
    by_place = read(npz(X=X, y=np.array([0, 1, -1, 7])), "npz", wanted("features"))
    assert [row["label"] for row in kept(by_place)] == ["spam", "ham", None]
    assert np.frombuffer(kept(by_place)[1]["features"], "<f4").tolist() == [2, 3]
    assert [line for line, _ in errors(by_place)] == [4]
    names = read(npz(X=X, y=np.array(["ham", "eggs", "spam", ""])), "npz", wanted("features"))
    assert [row["label"] for row in kept(names)] == ["ham", "eggs", "spam", None]
    digits = read(npz(X=X[:2], y=np.array([3, 2])), "npz", wanted("features", classes=("2", "3")))
    assert [row["label"] for row in kept(digits)] == ["3", "2"]
    unused = read(npz(X=X, y=np.array([9, 9, 9, 9])), "npz", wanted("features", use_labels=False))
    assert [row["label"] for row in kept(unused)] == [None] * 4


def test_compressed_and_large_arrays_are_streamed() -> None:
    X = np.random.default_rng(0).normal(size=(4000, 96)).astype(np.float32)
    out = io.BytesIO()
    np.savez_compressed(out, X=X)
    rows = read(out.getvalue(), "npz", wanted("features"))
    assert np.array_equal(np.stack([np.frombuffer(row["features"], "<f4") for row in kept(rows)]), X)


@pytest.mark.parametrize(
    ("arrays", "says"),
    [
        ({"x": np.zeros((2, 2))}, "no array X; it has x.npy"),
        ({"X": np.zeros(4)}, "must be a table"),
        ({"X": np.zeros((0, 4))}, "no rows"),
        ({"X": np.zeros((2, 2), complex)}, "table of numbers"),
        ({"X": np.array([{"a": 1}], dtype=object)}, "objects"),
        ({"X": np.asfortranarray(np.ones((3, 2)))}, "column by column"),
        ({"X": np.zeros((2, 20))}, "at most 16"),
        ({"X": np.zeros((2, 3)), "y": np.zeros(3, int)}, "3 entries"),
        ({"X": np.zeros((2, 3)), "y": np.zeros((2, 1))}, "y must be"),
        ({"X": np.zeros((2, 3)), "y": np.array([{}, {}], dtype=object)}, "objects"),
    ],
)
def test_an_npz_that_cannot_be_used_says_why(arrays: dict[str, Any], says: str) -> None:
    with pytest.raises(Invalid, match=says):
        read(npz(**arrays), "npz", wanted("features", settings={"max_feature_dim": 16}))


def test_a_cut_off_npz_is_refused() -> None:
    good = npz(X=np.ones((100, 4)))
    data = archive(**{"X.npy": zipfile.ZipFile(io.BytesIO(good)).read("X.npy")[:-64]})
    with pytest.raises(Invalid, match="damaged"):
        read(data, "npz", wanted("features"))


# All of them


FILES: dict[str, tuple[str, Callable[[], bytes]]] = {
    "jsonl": ("text", lambda: b"".join(json.dumps({"text": f"t{n}"}).encode() + b"\nbroken\n" for n in range(9))),
    "csv": ("text", lambda: b"text,n\n" + b"".join(b'"a\n%d",1\nbroken\n"open\n' % n for n in range(9))),
    "zip": ("image", lambda: archive(**{f"{n}.png": png(n) for n in range(9)})),
    "npz": ("features", lambda: npz(X=np.arange(18.0).reshape(9, 2))),
}


@pytest.mark.parametrize("format", FILES)
def test_reading_can_go_on_from_any_row(format: str) -> None:
    task, make = FILES[format]
    data = make()
    rows = read(data, format, wanted(task))
    assert len(rows) >= 9
    for place, row in enumerate(rows):
        rest = list(read_rows(io.BytesIO(data), format, wanted(task), row.after))
        assert [(r.line, r.row, r.error) for r in rest] == [(r.line, r.row, r.error) for r in rows[place + 1 :]]
        assert 0 < row.share <= 1


@pytest.mark.parametrize("format", ["jsonl", "csv"])
def test_a_line_without_end_is_passed_over_in_flat_memory(format: str, tmp_path: Path) -> None:
    path = tmp_path / "long"
    first = b'{"text": "first"}\n{"text": "' if format == "jsonl" else b"text\nfirst\n"
    with path.open("wb") as file:
        file.write(first)
        for _ in range(80):
            file.write(b"x" * (1 << 20))
        file.write(b'"}\n{"text": "last"}\n' if format == "jsonl" else b"\nlast\n")
    tracemalloc.start()
    with path.open("rb") as opened:
        rows = list(read_rows(opened, format, wanted()))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert [row["text"] for row in kept(rows)] == ["first", "last"]
    assert "longer than" in errors(rows)[0][1]
    assert peak < 48 << 20


class Endless(io.RawIOBase):
    """A million lines that are never in memory together."""

    def __init__(self, line: bytes, times: int) -> None:
        self._line, self._size, self._at = line, len(line) * times, 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = 0) -> int:
        self._at = offset if whence == 0 else self._size + offset
        return self._at

    def readinto(self, buffer: Any) -> int:
        start = self._at % len(self._line)
        size = min(len(buffer), self._size - self._at)
        block = (self._line * (size // len(self._line) + 2))[start : start + size]
        buffer[:size] = block
        self._at += size
        return size


def test_memory_stays_flat_however_long_the_file_is() -> None:
    def rows() -> Iterator[RawRow]:
        file: BinaryIO = io.BufferedReader(Endless(b'{"text": "' + b"x" * 80 + b'"}\n', 50_000))  # type: ignore[assignment]
        return read_rows(file, "jsonl", wanted())

    tracemalloc.start()
    assert sum(1 for _ in rows()) == 50_000
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


@pytest.mark.parametrize("format", ["jsonl", "csv"])
def test_empty_and_wide_files_are_refused(format: str) -> None:
    with pytest.raises(Invalid, match="empty"):
        read(b"", format)
    with pytest.raises(Invalid, match="UTF-16"):
        read("text\nhello\n".encode("utf-16"), format)


def test_a_format_must_fit_the_task() -> None:
    for format, task in (("zip", "text"), ("npz", "image")):
        with pytest.raises(Invalid, match=f"of the task {task}"):
            read(b"PK", format, wanted(task))


@pytest.mark.parametrize(
    ("filename", "head", "format"),
    [
        ("a.CSV", b"", "csv"),
        ("a.tab", b"", "tsv"),
        ("a.ndjson", b"", "jsonl"),
        ("a.npz", b"PK", "npz"),
        ("a.parquet", b"", "parquet"),
        ("upload", b"PAR1\x15", "parquet"),
        ("upload", b"PK\x03\x04", "zip"),
        ("upload", b'\xef\xbb\xbf\n{"text"', "jsonl"),
        ("upload.txt", b"text\n", "csv"),
    ],
)
def test_the_format_is_known_by_name_or_first_bytes(filename: str, head: bytes, format: str) -> None:
    assert detect_format(filename, head) == format


def test_formats_that_come_later_say_so() -> None:
    with pytest.raises(NotYet):
        check_format("label-studio")
    with pytest.raises(NotYet):
        check_format("doccano")
    with pytest.raises(Invalid, match="one JSON list"):
        detect_format("a.json", b'[{"text": 1}]')
    with pytest.raises(Invalid):
        check_format("xls")
