"""Archives and images that are made to hurt: what they claim is never believed, and what is good in them is kept."""

from __future__ import annotations

import base64
import bz2
import io
import re
import stat
import struct
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import httpx
import numpy as np
import pytest
from PIL import Image

from tests.api.conftest import make_project
from tests.worker.service import Service
from winnow.db.session import Database
from winnow.settings import Settings
from winnow.storage import Storage
from worker.app import body_of
from worker.base import run_job


def png(shade: int = 7) -> bytes:
    out = io.BytesIO()
    Image.new("L", (12, 12), shade).save(out, "PNG")
    return out.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def claimed_png(width: int, height: int, rows: bytes = b"\0\0") -> bytes:
    """A PNG of a few bytes that claims to be ``width`` × ``height``."""
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")


def animation(frames: int) -> bytes:
    out = io.BytesIO()
    pictures = [Image.new("P", (8, 8), n % 200) for n in range(frames)]
    pictures[0].save(out, "GIF", save_all=True, append_images=pictures[1:])
    return out.getvalue()


def archive(*members: tuple[str | zipfile.ZipInfo, bytes], packed: int = zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", packed) as made:
        for name, data in members:
            made.writestr(name, data)
    return out.getvalue()


def claiming(data: bytes, size: int) -> bytes:
    """The archive with another unpacked size in the directory and in each member's own header."""
    for mark, at in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):
        start = data.find(mark)
        while start >= 0:
            data = data[: start + at] + struct.pack("<I", size) + data[start + at + 4 :]
            start = data.find(mark, start + 4)
    return data


def flagged(data: bytes, bits: int) -> bytes:
    """The archive with further flag bits on every member (bit 0: encrypted)."""
    for mark, at in ((b"PK\x01\x02", 8), (b"PK\x03\x04", 6)):
        start = data.find(mark)
        while start >= 0:
            (now,) = struct.unpack("<H", data[start + at : start + at + 2])
            data = data[: start + at] + struct.pack("<H", now | bits) + data[start + at + 2 :]
            start = data.find(mark, start + 4)
    return data


def overlapping(copies: int) -> bytes:
    """An archive whose directory names the same packed bytes again and again: a bomb without a high ratio."""
    plain = archive(("a/kernel.png", png() + bytes(100_000)), packed=zipfile.ZIP_STORED)
    start, end = plain.find(b"PK\x01\x02"), plain.find(b"PK\x05\x06")
    entry = plain[start:end]
    entries = b"".join(entry.replace(b"kernel", b"%06d" % n) for n in range(copies))
    tail = struct.pack("<4sHHHHIIH", b"PK\x05\x06", 0, 0, copies, copies, len(entries), start, 0)
    return plain[:start] + entries + tail


def linked(target: str) -> zipfile.ZipInfo:
    """A member that is a symbolic link on Unix."""
    info = zipfile.ZipInfo("a/link.png")
    info.create_system = 3
    info.external_attr = (stat.S_IFLNK | 0o777) << 16
    return info


def damaged(data: bytes, at: int = 12) -> bytes:
    """The archive with four other bytes in the packed data of its first member."""
    name, extra = struct.unpack("<HH", data[26:30])
    start = 30 + name + extra + at
    return data[:start] + b"\xff" * 4 + data[start + 4 :]


def bzip2_bomb() -> bytes:
    """An archive whose member claims to be small and unfolds to 256 MB from a few hundred bytes, all at once."""
    packer = bz2.BZ2Compressor(9)
    packed = b"".join(packer.compress(bytes(1 << 24)) for _ in range(16)) + packer.flush()
    assert len(packed) < 1000
    method = struct.pack("<H", zipfile.ZIP_BZIP2)
    plain = claiming(archive(("a/0.png", packed), packed=zipfile.ZIP_STORED), 30_000)
    directory = plain.find(b"PK\x01\x02")
    return plain[:8] + method + plain[10 : directory + 10] + method + plain[directory + 12 :]


@pytest.fixture
def database_kind() -> str:
    """One is enough: what is refused here never meets the database."""
    return "sqlite"


@pytest.fixture
def service(owner: httpx.Client, settings: Settings, database: Database, storage: Storage) -> Service:
    return Service(settings, database, storage, int(owner.get("/me").json()["id"]))


@pytest.fixture
def import_file(owner: httpx.Client, service: Service) -> Callable[..., dict[str, Any]]:
    """``import_file(bytes)`` imports a file into a new project; gives the job as it ended and the project."""

    def do(data: bytes, name: str = "a.zip", task: str = "image") -> dict[str, Any]:
        project = make_project(owner, task=task, labels=["a", "b"])["id"]
        answer = owner.post(f"/projects/{project}/imports", files={"file": (name, data)})
        assert answer.status_code == 202, answer.text
        run_job(service.runtime(), "import", int(answer.json()["id"]), body_of("import"))
        job: dict[str, Any] = owner.get(f"/jobs/{answer.json()['id']}").json()
        return job | {"items": owner.get(f"/projects/{project}/items").json()["data"]}

    return do


@pytest.fixture
def outside(settings: Settings) -> Iterator[None]:
    """Nothing appears outside the data folder, nor in it but under the storage."""
    root = settings.data.parent
    before = {path for path in root.rglob("*") if "storage" not in path.parts}
    yield
    after = {path for path in root.rglob("*") if "storage" not in path.parts}
    assert {path.name for path in after - before if path.is_file()} <= {"winnow.db-wal", "winnow.db-shm"}


#: Archive → what the import says: how many it took, and a word of the reason for each that it did not take.
ARCHIVES: dict[str, tuple[Callable[[], bytes], int, list[str]]] = {
    "a member of zeros": (lambda: archive(("a/0.png", bytes(2_000_000)), ("a/1.png", png())), 1, ["unfolds"]),
    "a member over the limit": (
        lambda: archive(("a/0.png", np.random.default_rng(0).bytes(11 << 20)), ("a/1.png", png())), 1, ["larger than"],
    ),
    "a member that claims to be small": (
        lambda: claiming(archive(("a/0.png", bytes(5_000_000))), 1000), 0, ["damaged"],
    ),
    "a member that claims to be huge": (lambda: claiming(archive(("a/0.png", png())), 2**32 - 2), 0, ["larger than"]),
    "encrypted members": (lambda: flagged(archive(("a/0.png", png())), 1), 0, ["encrypted"]),
    "strong encryption": (lambda: flagged(archive(("a/0.png", png())), 0x41), 0, ["encrypted"]),
    "damaged LZMA": (lambda: damaged(archive(("a/0.png", png()), packed=zipfile.ZIP_LZMA)), 0, ["deflate"]),
    "LZMA": (lambda: archive(("a/0.png", png()), packed=zipfile.ZIP_LZMA), 0, ["deflate"]),
    "LZMA with a dictionary of 4 GB": (
        lambda: damaged(archive(("a/0.png", png()), packed=zipfile.ZIP_LZMA), at=5), 0, ["deflate"],
    ),
    "bzip2": (lambda: archive(("a/0.png", png()), packed=zipfile.ZIP_BZIP2), 0, ["deflate"]),
    "a member of no known method": (
        lambda: archive(("a/0.png", png()), packed=zipfile.ZIP_LZMA).replace(b"\x0e\0", b"\x63\0"), 0, ["deflate"],
    ),
    "an archive in an archive": (
        lambda: archive(("a/in.zip", archive(("a/1.png", png()))), ("a/1.png", png())), 1, ["not a PNG"],
    ),
    "a link": (lambda: archive((linked("/etc/passwd"), b"/etc/passwd"), ("a/1.png", png())), 1, ["not a PNG"]),
    "a vector image": (
        lambda: archive(("a/0.svg", b'<svg xmlns="http://www.w3.org/2000/svg"/>'), ("a/1.png", png())),
        1, ["not a PNG"],
    ),
    "a page that calls itself an image": (
        lambda: archive(("a/0.png", b"<html><script>alert(1)</script></html>")), 0, ["not a PNG"],
    ),
    "PostScript": (lambda: archive(("a/0.png", b"%!PS-Adobe-3.0 EPSF-3.0\n(x) run\n")), 0, ["not a PNG"]),
    "the same member twice": (lambda: archive(("a/1.png", png(1)), ("b/2.png", png(2))).replace(b"b/2", b"a/1"), 1, []),
    "paths that climb": (
        lambda: archive(
            ("../../../../tmp/evil.png", png(1)), ("/etc/evil.png", png(2)), ("C:\\Windows\\evil.png", png(3)),
            ("a/../../b/evil.png", png(4)), ("..\\..\\evil.png", png(5)), ("a/\x01.png", png(6)),
        ),
        0, [],
    ),
}  # fmt: skip


@pytest.mark.usefixtures("outside")
def test_an_archive_that_hurts_costs_only_what_is_bad_in_it(import_file: Callable[..., dict[str, Any]]) -> None:
    for what, (make, created, reasons) in ARCHIVES.items():
        job = import_file(make())
        assert job["state"] == "succeeded", (what, job["error"])
        result = job["result"]
        if what == "paths that climb":
            keys = {item["key"] for item in job["items"]}
            assert not any(".." in key or key.startswith("/") or "\\" in key for key in keys if key), keys
            assert len(job["items"]) + result["rejected"] == 6
            continue
        assert (result["created"], result["rejected"]) == (created, len(reasons)), (what, result)
        for reason, entry in zip(reasons, result["errors"], strict=True):
            assert reason in entry["reason"], (what, entry)
            assert len(entry["reason"]) < 500


#: Archives that are refused as a whole, with a word of the reason.
REFUSED: dict[str, tuple[Callable[[], bytes], str]] = {
    "a directory that lies": (lambda: archive(("a/1.png", png()))[:-22] + b"PK\x05\x06" + b"\xff" * 18, "members"),
    "cut off": (lambda: archive(("a/1.png", png()))[:-30], "not a ZIP"),
    "nothing in it": (lambda: archive(), "no files"),
    "only hidden files": (lambda: archive(("__MACOSX/a.png", png()), (".a.png", png())), "no files"),
}  # fmt: skip


def test_an_archive_that_is_none_is_refused_in_words(import_file: Callable[..., dict[str, Any]]) -> None:
    for what, (make, word) in REFUSED.items():
        job = import_file(make())
        assert job["state"] == "failed", (what, job)
        assert (job["error"]["status"], word in job["error"]["detail"]) == (422, True), (what, job["error"])
        assert job["items"] == []


def test_members_that_share_their_bytes_unfold_to_no_more_than_one(import_file: Callable[..., dict[str, Any]]) -> None:
    data = overlapping(500)
    assert len(data) < 200_000
    tracemalloc.start()
    job = import_file(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert job["state"] in ("succeeded", "failed")
    assert len(job["items"]) <= 1
    assert peak < 64 << 20


def test_a_member_that_unfolds_all_at_once_is_not_unpacked(import_file: Callable[..., dict[str, Any]]) -> None:
    data = bzip2_bomb()
    tracemalloc.start()
    job = import_file(data)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert (job["state"], job["result"]["created"], job["result"]["rejected"]) == ("succeeded", 0, 1)
    assert "deflate" in job["result"]["errors"][0]["reason"]
    assert peak < 64 << 20


def test_an_array_that_hurts_is_refused(import_file: Callable[..., dict[str, Any]]) -> None:
    def npy(header: str, data: bytes = b"") -> bytes:
        text = header.encode().ljust(118 - 1) + b"\n"
        return b"\x93NUMPY\x01\x00" + struct.pack("<H", len(text)) + text + data

    headers = {
        "a petabyte": ("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000, 256)}", "X"),
        "no end of columns": ("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 99999999999)}", "columns"),
        "negative": ("{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 2)}", ""),
        "an expression": ("{'descr': '<f4', 'fortran_order': False, 'shape': __import__('os').system('x')}", "X"),
        "objects": ("{'descr': '|O', 'fortran_order': False, 'shape': (1, 1)}", ""),
        "no items": ("{'descr': '<f4', 'fortran_order': False, 'shape': (0, 2)}", "rows"),
        "empty strings": ("{'descr': '<U0', 'fortran_order': False, 'shape': (9, 9)}", ""),
    }
    for what, (header, word) in headers.items():
        job = import_file(archive(("X.npy", npy(header, bytes(64)))), "a.npz", "features")
        assert job["state"] == "failed", (what, job)
        assert (job["error"]["status"], word in job["error"]["detail"]) == (422, True), (what, job["error"])
    good = npy("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 2)}", bytes(16))
    for packed in (zipfile.ZIP_LZMA, zipfile.ZIP_BZIP2):
        for data in (archive(("X.npy", good), packed=packed), damaged(archive(("X.npy", good), packed=packed))):
            job = import_file(data, "a.npz", "features")
            assert (job["state"], job["error"]["status"]) == ("failed", 422), job
            assert "The array X was not read: it is packed by a method other than deflate" in job["error"]["detail"]
            assert job["items"] == []


def test_a_label_that_is_no_number_costs_that_row_only(import_file: Callable[..., dict[str, Any]]) -> None:
    out = io.BytesIO()
    labels = np.array([0.0, np.inf, -np.inf, np.nan, 0.5, 1e300, 1.0, -1.0])
    np.savez(out, X=np.arange(16.0).reshape(8, 2), y=labels)
    job = import_file(out.getvalue(), "a.npz", "features")
    assert job["state"] == "succeeded", job["error"]
    assert (job["result"]["created"], job["result"]["rejected"]) == (3, 5)
    told = {entry["line"]: re.split("[,;]", entry["reason"])[0] for entry in job["result"]["errors"]}
    assert told == {2: "y is inf", 3: "y is -inf", 4: "y is nan", 5: "y is 0.5", 6: "y is 1e+300"}


def test_an_image_that_hurts_is_refused_before_it_is_unfolded(owner: httpx.Client) -> None:
    project = make_project(owner, task="image", labels=["a", "b"])["id"]
    whole = png()
    images = {
        "a claim of 65535 × 65535": claimed_png(65_535, 65_535),
        "a claim of 2^31 columns": claimed_png(2**31 - 1, 1),
        "a claim of nothing": claimed_png(0, 0),
        "too few rows": claimed_png(1000, 1000),
        "48 million pixels in 50 KB": claimed_png(8000, 6000, bytes(8001 * 6000)),
        "a gigabyte of zeros in its text": b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0))
        + chunk(b"zTXt", b"a\0\0" + zlib.compress(bytes(100_000_000)))
        + chunk(b"IDAT", zlib.compress(b"\0\0"))
        + chunk(b"IEND", b""),
        "cut off": whole[: len(whole) // 2],
        "its head only": whole[:8],
        "a vector image": b'<?xml version="1.0"?><svg xmlns="http://www.w3.org/2000/svg"/>',
        "a BMP of 2 GB": b"BM"
        + struct.pack("<IHHIIiiHHIIiiII", 54, 0, 0, 54, 40, 30_000, 30_000, 1, 24, 0, 0, 0, 0, 0, 0),
        "a TIFF that points to itself": b"II*\0\x08\0\0\0\0\0\x08\0\0\0",
        "PDF": b"%PDF-1.7\n",
        "nothing": b"",
    }
    tracemalloc.start()
    rows = [{"image": base64.b64encode(data).decode()} for data in images.values()]
    answer = owner.post(
        f"/projects/{project}/items", json={"items": [*rows, {"image": base64.b64encode(whole).decode()}]}
    )
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert answer.status_code == 201, answer.text
    refused = {list(images)[entry["index"]]: entry["reason"] for entry in answer.json()["rejected"]}
    assert sorted(set(images) - set(refused)) == []
    assert answer.json()["created"] == 1
    assert peak < 64 << 20
    for path in ("/etc/passwd", "file:///etc/passwd", "http://127.0.0.1/x.png", "data:image/svg+xml,<svg/>"):
        answer = owner.post(f"/projects/{project}/items", json={"items": [{"image": path}]})
        assert (answer.json()["created"], len(answer.json()["rejected"])) == (0, 1)


def test_an_image_that_is_also_something_else_is_served_as_an_image_only(owner: httpx.Client) -> None:
    """A page or an archive behind the pixels of an image: nothing that shows it may take it for one."""
    project = make_project(owner, task="image", labels=["a", "b"])["id"]
    behind = (b"<script>alert(1)</script>", archive(("evil.js", b"alert(1)")), b"%PDF-1.7", animation(1500))
    rows = [{"image": base64.b64encode(png(n) + tail).decode()} for n, tail in enumerate(behind)]
    rows.append({"image": base64.b64encode(animation(2000)).decode()})
    answer = owner.post(f"/projects/{project}/items", json={"items": rows})
    assert answer.json()["created"] == len(rows), answer.text
    for item in owner.get(f"/projects/{project}/items").json()["data"]:
        content = owner.get(f"/projects/{project}/items/{item['id']}/content")
        assert content.headers["content-type"] in ("image/png", "image/gif")
        assert content.headers["x-content-type-options"] == "nosniff"
        assert content.headers["content-security-policy"] == "default-src 'none'; sandbox"


def test_the_same_bytes_in_a_project_of_texts_are_no_items(import_file: Callable[..., dict[str, Any]]) -> None:
    for name, data in {"a.csv": archive(("a", b"b")), "a.jsonl": png(), "a.tsv": bytes(5_000_000)}.items():
        job = import_file(data, name, "text")
        assert job["items"] == [] or all(item["text"].isprintable() for item in job["items"]), name
        assert job["state"] in ("succeeded", "failed")
