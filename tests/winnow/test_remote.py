"""Object stores: what one process writes another sees at once, and what is wrong is said plainly."""

from __future__ import annotations

import multiprocessing
import socket
import subprocess
import sys
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from bench.servers.objects import make_bucket
from tests.conftest import GivenStore, RanOn
from winnow import remote
from winnow.errors import Misconfigured, StorageUnavailable
from winnow.storage import Storage

SECRET = "a-key-that-nobody-may-read"
MIB = 1 << 20


@pytest.fixture
def bucket(object_store: GivenStore, ran_on: RanOn, monkeypatch: pytest.MonkeyPatch) -> str:
    for name, value in object_store.environment.items():
        monkeypatch.setenv(name, value)
    ran_on(object_store.title)
    return make_bucket(object_store.environment, "remote")


@pytest.fixture
def store(bucket: str, tmp_path: Path) -> Storage:
    return Storage(f"{bucket}/prefix", tmp_path / "cache")


def client(object_store: GivenStore) -> Any:
    from botocore.session import Session

    there = object_store.environment
    return Session().create_client(
        "s3",
        region_name=there["AWS_DEFAULT_REGION"],
        endpoint_url=there["AWS_ENDPOINT_URL"],
        aws_access_key_id=there["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=there["AWS_SECRET_ACCESS_KEY"],
    )


def elsewhere(url: str, code: str) -> None:
    """Do something with the storage in another process."""
    start = f"from winnow.storage import Storage; import pathlib; s = Storage({url!r}, pathlib.Path('/nowhere')); "
    subprocess.run([sys.executable, "-c", start + code], check=True, timeout=60)


def test_what_another_process_writes_and_deletes_is_seen_at_once(store: Storage) -> None:
    store.put_bytes(b"1", "p/a")
    assert (store.list("p"), store.exists("p/b"), store.exists("p")) == (["p/a"], False, True)
    elsewhere(store.url, "s.put_bytes(b'12', 'p/b'); s.put_bytes(b'123', 'p/a')")
    assert (store.list("p"), store.exists("p/b"), store.size("p/a")) == (["p/a", "p/b"], True, 3)
    elsewhere(store.url, "s.delete('p')")
    assert (store.list("p"), store.exists("p/b"), store.exists("p")) == ([], False, False)


def test_a_process_that_was_forked_opens_its_own_connections(store: Storage) -> None:
    store.put_bytes(b"of the parent", "a")
    context = multiprocessing.get_context("fork")
    told = context.SimpleQueue()

    def child() -> None:
        store.put_bytes(b"of the child", "b")
        told.put((store.get_bytes("a"), store.list()))

    process = context.Process(target=child)
    process.start()
    process.join(60)
    assert process.exitcode == 0
    assert told.get() == (b"of the parent", ["a", "b"])
    assert store.get_bytes("b") == b"of the child"


@pytest.mark.slow
def test_a_folder_is_deleted_whatever_the_number_of_its_files(store: Storage) -> None:
    with ThreadPoolExecutor(4) as threads:
        list(threads.map(lambda n: store.put_bytes(b"", f"p/{n % 7}/{n}"), range(1001)))
    assert len(store.list("p")) == 1001  # a page of a listing, and of a deletion, holds 1,000
    store.delete("p")
    assert store.list() == []


@pytest.fixture
def large(tmp_path: Path) -> Iterator[Path]:
    file = tmp_path / "large"
    with file.open("wb") as out:
        for n in range(96):
            out.write(bytes([n]) * MIB)
    yield file
    file.unlink()


def test_a_large_file_goes_and_comes_in_pieces_with_flat_memory(store: Storage, large: Path) -> None:
    tracemalloc.start()
    store.put_file(large, "large")
    with store.open("large") as file:
        assert [file.read(MIB)[:1] for _ in range(96)] == [bytes([n]) for n in range(96)]
        assert file.read() == b""
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 64 * MIB  # of 96


def test_an_upload_that_fails_leaves_neither_a_file_nor_its_pieces(
    store: Storage, large: Path, object_store: GivenStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    from s3fs import S3FileSystem

    calls = []
    original = S3FileSystem._call_s3

    async def failing(self: Any, method: str, *args: Any, **kwargs: Any) -> Any:
        calls.append(method)
        if method == "upload_part" and kwargs["PartNumber"] == 6:
            raise ConnectionResetError("gone")
        return await original(self, method, *args, **kwargs)

    monkeypatch.setattr(S3FileSystem, "_call_s3", failing)
    with pytest.raises(StorageUnavailable):
        store.put_file(large, "large")
    assert calls[0] == "create_multipart_upload"
    assert not store.exists("large")
    name = store.url.removeprefix("s3://").split("/")[0]
    made = client(object_store)
    assert made.list_multipart_uploads(Bucket=name).get("Uploads", []) == []
    made.close()


def test_a_download_that_comes_in_part_is_not_taken_for_the_file(
    store: Storage, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    store.put_bytes(b"half", "a")
    with monkeypatch.context() as patched:
        patched.setattr(store._fs, "get_file", lambda path, local: Path(local).write_bytes(b"ha"))
        with pytest.raises(StorageUnavailable):
            store.local("a").__enter__()
    assert [path for path in (tmp_path / "cache" / "storage").rglob("*") if path.is_file()] == []
    with store.local("a") as file:
        assert file.read_bytes() == b"half"


def test_a_bucket_that_is_not_there_is_said_and_is_not_made(
    bucket: str, tmp_path: Path, object_store: GivenStore
) -> None:
    store = Storage(f"{bucket}-none/x", tmp_path / "cache")
    for act in (
        store.check,
        lambda: store.put_bytes(b"", "a"),
        lambda: store.get_bytes("a"),
        lambda: store.list(),
        lambda: store.delete("a"),
    ):
        with pytest.raises(StorageUnavailable) as caught:
            act()
        assert caught.value.lasting
        assert "make the bucket first" in caught.value.reason
        assert f"{bucket}-none" not in caught.value.detail  # which is what users are told
    made = client(object_store)
    assert f"{bucket}-none".removeprefix("s3://") not in [found["Name"] for found in made.list_buckets()["Buckets"]]
    made.close()


def test_a_store_that_refuses_access_is_said(store: Storage, monkeypatch: pytest.MonkeyPatch) -> None:
    from s3fs import S3FileSystem

    async def refuse(self: Any, method: str, *args: Any, **kwargs: Any) -> Any:
        raise PermissionError("Forbidden")

    monkeypatch.setattr(S3FileSystem, "_call_s3", refuse)
    with pytest.raises(StorageUnavailable) as caught:
        store.check()
    assert caught.value.lasting
    assert "refuses access" in caught.value.reason


def test_without_credentials_it_is_said_which_are_missing(
    store: Storage, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.delenv("AWS_ACCESS_KEY_ID")
    monkeypatch.delenv("AWS_SECRET_ACCESS_KEY")
    monkeypatch.setenv("HOME", str(tmp_path))
    with pytest.raises(StorageUnavailable, match="storage of files") as caught:
        Storage(store.url, tmp_path / "cache").check()
    assert caught.value.lasting
    assert "redentials" in caught.value.reason


def test_a_store_that_is_down_is_unavailable_and_its_key_is_not_told(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with socket.socket() as taken:  # bound and not listening: nobody else can come up there
        taken.bind(("127.0.0.1", 0))
        for name, value in {
            "AWS_ENDPOINT_URL": f"http://127.0.0.1:{taken.getsockname()[1]}",
            "AWS_ACCESS_KEY_ID": "somebody",
            "AWS_SECRET_ACCESS_KEY": SECRET,
            "AWS_DEFAULT_REGION": "us-east-1",
        }.items():
            monkeypatch.setenv(name, value)
        store = Storage("s3://bucket/prefix", tmp_path / "cache")
        with capture_logs() as logs, pytest.raises(StorageUnavailable) as caught:
            store.get_bytes("a")
    assert not caught.value.lasting
    assert "does not answer" in caught.value.reason
    assert [entry["event"] for entry in logs] == ["storage.unavailable"]
    said = f"{logs} {caught.value.reason} {caught.value.detail} {capfd.readouterr()}"
    assert SECRET not in said


@pytest.mark.parametrize(
    ("url", "extra", "package"),
    [
        ("s3://bucket/prefix", "s3", "s3fs"),
        ("gs://bucket", "gcs", "gcsfs"),
        ("abfs://container@account.dfs.core.windows.net/x", "azure", "adlfs"),
    ],
)
def test_a_missing_extra_is_named_at_once(
    url: str, extra: str, package: str, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(remote, "find_spec", lambda name: None)
    with pytest.raises(Misconfigured) as caught:
        Storage(url, tmp_path)
    assert f"pip install -e '.[{extra}]'" in caught.value.detail
    assert package in caught.value.detail


def test_a_key_in_the_url_is_refused_and_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured) as caught:
        Storage(f"s3://somebody:{SECRET}@bucket/prefix", tmp_path)
    assert "AWS_SECRET_ACCESS_KEY" in caught.value.detail
    assert SECRET not in caught.value.detail


def test_a_url_that_would_be_a_pattern_is_refused(tmp_path: Path) -> None:
    for url in ("s3://bucket/a*", "memory://x/[ab]"):  # what deletes a folder would take it for several
        with pytest.raises(Misconfigured, match="must not contain"):
            Storage(url, tmp_path)


def test_an_unknown_protocol_is_refused(tmp_path: Path) -> None:
    with pytest.raises(Misconfigured, match="nonsense://"):
        Storage("nonsense://x", tmp_path)


@pytest.mark.parametrize(
    ("url", "shown"),
    [
        ("s3://bucket/a/b", "s3://bucket/a/b"),
        (f"sftp://me:{SECRET}@host:22/a", "sftp://me:***@host:22/a"),
        (f"https://host/a?key={SECRET}#{SECRET}", "https://host/a"),
        ("abfs://container@account.dfs.core.windows.net/x", "abfs://container@account.dfs.core.windows.net/x"),
        ("/var/lib/winnow", "/var/lib/winnow"),
    ],
)
def test_a_url_is_shown_without_its_secrets(url: str, shown: str) -> None:
    assert remote.shown(url) == shown


def test_what_the_operator_sets_for_fsspec_goes_before_our_options(
    bucket: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from fsspec.config import conf

    monkeypatch.setitem(conf, "s3", {"max_concurrency": 1, "default_block_size": MIB})
    fs, root = remote.open_remote(f"{bucket}/a/")
    assert (fs.max_concurrency, fs.default_block_size, fs.dircache.use_listings_cache) == (1, MIB, False)
    assert root == f"{bucket.removeprefix('s3://')}/a"


def test_a_folder_that_cannot_be_written_to_is_said(tmp_path: Path) -> None:
    (tmp_path / "root").write_text("a file in the way")
    with pytest.raises(StorageUnavailable) as caught:
        Storage((tmp_path / "root").as_uri(), tmp_path / "cache").check()
    assert caught.value.lasting
    Storage((tmp_path / "other").as_uri(), tmp_path / "cache").check()
    assert list((tmp_path / "other" / "probes").iterdir()) == []
