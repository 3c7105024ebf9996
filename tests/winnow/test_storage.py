"""Storage behind a folder and behind a file system that is not one."""

from __future__ import annotations

from pathlib import Path

import pytest

from bench.servers.objects import make_bucket
from tests.conftest import GivenStore, RanOn
from winnow.storage import Storage, project_prefix


@pytest.fixture
def bucket(object_store: GivenStore, ran_on: RanOn, monkeypatch: pytest.MonkeyPatch) -> str:
    """The URL of a new bucket, with what leads to it in the environment."""
    for name, value in object_store.environment.items():
        monkeypatch.setenv(name, value)
    ran_on(object_store.title)
    return make_bucket(object_store.environment, "storage")


@pytest.fixture(params=["folder", "memory", "s3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Storage:
    if request.param == "s3":
        url: str = request.getfixturevalue("bucket") + "/some/prefix"
    else:
        url = (tmp_path / "root").as_uri() if request.param == "folder" else f"memory://{tmp_path.name}"
    return Storage(url, tmp_path / "cache")


def local_bytes(store: Storage, path: str) -> bytes:
    with store.local(path) as file:
        return file.read_bytes()


def local_path(store: Storage, path: str) -> Path:
    with store.local(path) as file:
        return file


def test_what_is_put_is_there(store: Storage, tmp_path: Path) -> None:
    (tmp_path / "source").write_bytes(b"from a file")
    store.put_file(tmp_path / "source", "a/b/file.bin")
    store.put_bytes(b"from bytes", "a/bytes.bin")
    assert store.get_bytes("a/b/file.bin") == b"from a file"
    assert store.get_bytes("a/bytes.bin") == b"from bytes"
    assert (store.size("a/bytes.bin"), store.exists("a/bytes.bin"), store.exists("a/none")) == (10, True, False)
    assert store.list() == ["a/b/file.bin", "a/bytes.bin"]
    assert store.list("a/b") == ["a/b/file.bin"]
    assert store.list("none") == []


def test_putting_again_replaces(store: Storage) -> None:
    store.put_bytes(b"one", "x")
    assert local_bytes(store, "x") == b"one"
    store.put_bytes(b"two", "x")
    assert store.get_bytes("x") == b"two"
    assert local_bytes(store, "x") == b"two"


def test_a_written_file_appears_when_it_is_whole(store: Storage) -> None:
    with store.open("x/y", "wb") as file:
        file.write(b"half")
        assert not store.exists("x/y")
        assert store.list() == []
        file.write(b" and half")
    with store.open("x/y") as file:
        assert file.read() == b"half and half"


def test_a_write_that_fails_leaves_what_was_there(store: Storage, tmp_path: Path) -> None:
    store.put_bytes(b"before", "x")

    def write_half() -> None:
        with store.open("x", "wb") as file:
            file.write(b"half")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        write_half()
    assert store.get_bytes("x") == b"before"
    assert [path.name for path in tmp_path.rglob(".part-*")] == []


def test_deleting_takes_a_file_or_a_folder_and_asks_nothing(store: Storage) -> None:
    for path in ("p/1", "p/2/3", "q"):
        store.put_bytes(b"x", path)
    store.put_bytes(b"x", "pp/1")  # its name begins alike
    assert local_bytes(store, "p/1") == b"x"
    store.delete("p")
    store.delete("p")
    assert store.list() == ["pp/1", "q"]
    with pytest.raises(FileNotFoundError):
        local_bytes(store, "p/1")
    store.delete("pp/1")
    store.delete("q")
    assert store.list() == []


@pytest.mark.parametrize("read", [Storage.get_bytes, local_bytes, Storage.size])
def test_what_is_not_there_is_not_found(store: Storage, read: object) -> None:
    with pytest.raises(FileNotFoundError):
        read(store, "none")  # type: ignore[operator]


@pytest.mark.parametrize(
    "path",
    ["", "/etc/passwd", "../x", "a/../../x", "a//b", ".", "a/.", "a\\b", "a\0b", "a/*", "?", "[ab]"],
)
def test_no_path_leads_out(store: Storage, path: str) -> None:
    for act in (
        store.get_bytes,
        lambda p: store.local(p).__enter__(),
        store.delete,
        store.exists,
        store.size,
        lambda p: store.put_bytes(b"", p),
        lambda p: store.open(p, "wb").__enter__(),
    ):
        with pytest.raises(ValueError, match="not a path"):
            act(path)


def test_a_folder_hands_out_the_file_itself(tmp_path: Path) -> None:
    store = Storage((tmp_path / "root").as_uri(), tmp_path / "cache")
    store.put_bytes(b"x", "a/b")
    assert local_path(store, "a/b") == tmp_path / "root" / "a" / "b"


def test_elsewhere_a_copy_is_kept_and_renewed(tmp_path: Path) -> None:
    url = f"memory://{tmp_path.name}"
    here, there = Storage(url, tmp_path / "here"), Storage(url, tmp_path / "there")
    here.put_bytes(b"one", "a")
    copy = local_path(there, "a")
    assert copy.is_relative_to(tmp_path / "there")
    assert copy.read_bytes() == b"one"
    copy.write_bytes(b"ONE")
    assert local_bytes(there, "a") == b"ONE"  # kept: same size
    here.put_bytes(b"longer", "a")
    assert local_bytes(there, "a") == b"longer"


def test_everything_of_a_project_lies_below_its_prefix() -> None:
    assert project_prefix(12) == "projects/12"
