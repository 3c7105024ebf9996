"""Copies on this machine: bounded, shared between processes, and made again whatever happens to them."""

from __future__ import annotations

import fcntl
import multiprocessing
import os
import shutil
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import pytest
from structlog.testing import capture_logs

from winnow.local_cache import PART, LocalCache


@pytest.fixture
def cache(tmp_path: Path) -> LocalCache:
    return LocalCache(tmp_path, 100)


def filled(byte: bytes, size: int) -> Callable[[Path], None]:
    def fetch(part: Path) -> None:
        part.write_bytes(byte * size)

    return fetch


def grown(byte: bytes, size: int) -> Callable[[BinaryIO], None]:
    def grow(file: BinaryIO) -> None:
        have = file.seek(0, os.SEEK_END)
        file.write(byte * (size - have))
        file.flush()

    return grow


def refuse(_: object) -> None:
    raise AssertionError("it is there already")


def use(cache: LocalCache, path: Path, size: int, byte: bytes = b"x") -> bytes:
    with cache.held(path, size, filled(byte, size)) as file:
        return file.read_bytes()


def names(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file() and path.parent.name != "locks")


def test_what_was_not_used_for_longest_goes_first(cache: LocalCache, tmp_path: Path) -> None:
    place = tmp_path / "storage"
    for name in ("a", "b"):
        use(cache, place / name, 40)
    with cache.held(place / "a", 40, refuse):
        pass  # used again: now b is the oldest
    use(cache, place / "c", 40)
    assert names(place) == ["a", "c"]


def test_two_files_of_the_same_name_are_fetched_side_by_side(cache: LocalCache, tmp_path: Path) -> None:
    models = [tmp_path / "storage" / "projects" / str(n) / "students" / "9-1" / "model.onnx" for n in (1, 7)]
    both = threading.Barrier(2, timeout=10)

    def fetch(part: Path) -> None:
        both.wait()  # broken where one has to wait for the other
        part.write_bytes(b"m" * 8)

    def hold(path: Path) -> bytes:
        with cache.held(path, 8, fetch) as file:
            return file.read_bytes()

    with ThreadPoolExecutor(2) as threads:
        assert list(threads.map(hold, models)) == [b"m" * 8] * 2


def test_files_and_features_share_the_bound(cache: LocalCache, tmp_path: Path) -> None:
    use(cache, tmp_path / "storage" / "deep" / "down" / "a", 60)
    with cache.grown(tmp_path / "features" / "m", 60, grown(b"m", 60)) as file:
        assert os.fstat(file.fileno()).st_size == 60
    assert names(tmp_path) == ["m"]
    assert not (tmp_path / "storage" / "deep").exists()


def test_what_is_held_stays_however_small_the_bound_is_and_goes_after(tmp_path: Path) -> None:
    cache, place = LocalCache(tmp_path, 10), tmp_path / "storage"
    with cache.held(place / "a", 8, filled(b"a", 8)) as a:
        with cache.held(place / "b", 8, filled(b"b", 8)) as b:
            assert (a.read_bytes(), b.read_bytes()) == (b"a" * 8, b"b" * 8)
        assert a.read_bytes() == b"a" * 8
    assert sum(entry.bytes for entry in cache.entries()) <= 10


def test_without_a_bound_everything_stays(tmp_path: Path) -> None:
    cache = LocalCache(tmp_path)
    for name in "abc":
        use(cache, tmp_path / "storage" / name, 10_000)
    assert names(tmp_path) == ["a", "b", "c"]


def test_what_is_larger_than_the_bound_works_is_said_and_is_not_kept(cache: LocalCache, tmp_path: Path) -> None:
    use(cache, tmp_path / "storage" / "small", 30)
    path = tmp_path / "features" / "m"
    with capture_logs() as logs, cache.grown(path, 1000, grown(b"m", 1000)) as file:
        mapped = np.memmap(file, np.uint8, "r", shape=(1000,))
    assert mapped.tobytes() == b"m" * 1000
    assert not path.exists()
    assert names(tmp_path) == ["small"]  # which was not driven out by it
    [said] = [entry for entry in logs if entry["event"] == "cache.too_small"]
    assert (said["bytes"], said["bound"], said["setting"]) == (1000, 100, "WINNOW_CACHE_BYTES")


def test_a_mapping_stays_valid_when_its_file_is_evicted_and_does_not_keep_others_out(
    cache: LocalCache, tmp_path: Path
) -> None:
    path = tmp_path / "features" / "m"
    with cache.grown(path, 50, grown(b"1", 50)) as file:
        first = np.memmap(file, np.uint8, "r", shape=(50,))
    with cache.grown(path, 60, grown(b"2", 60)) as file:
        second = np.memmap(file, np.uint8, "r", shape=(60,))
    use(cache, tmp_path / "storage" / "a", 90)
    assert not path.exists()
    assert first.tobytes() == b"1" * 50
    assert second.tobytes() == b"1" * 50 + b"2" * 10
    with cache.grown(path, 50, grown(b"3", 50)) as file:
        assert np.memmap(file, np.uint8, "r", shape=(50,)).tobytes() == b"3" * 50


@pytest.mark.parametrize("left", [0, 39])
def test_a_copy_that_was_truncated_is_fetched_again(cache: LocalCache, tmp_path: Path, left: int) -> None:
    path = tmp_path / "storage" / "a"
    use(cache, path, 40)
    os.truncate(path, left)
    assert use(cache, path, 40, b"y") == b"y" * 40


def test_a_folder_that_somebody_deleted_is_made_again(cache: LocalCache, tmp_path: Path) -> None:
    path, matrix = tmp_path / "storage" / "a", tmp_path / "features" / "m"
    use(cache, path, 40)
    with cache.grown(matrix, 40, grown(b"m", 40)):
        shutil.rmtree(tmp_path)
    assert use(cache, path, 40, b"y") == b"y" * 40
    with cache.grown(matrix, 40, grown(b"n", 40)) as file:
        file.seek(0)
        assert file.read() == b"n" * 40


def test_a_fetch_that_fails_leaves_nothing(cache: LocalCache, tmp_path: Path) -> None:
    def fail(part: Path) -> None:
        part.write_bytes(b"half")
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError), cache.held(tmp_path / "storage" / "a", 40, fail):
        pass
    assert names(tmp_path) == []


def test_what_a_process_that_died_left_half_written_is_taken_away(cache: LocalCache, tmp_path: Path) -> None:
    dead = tmp_path / "storage" / f"{PART}dead"
    dead.parent.mkdir()
    dead.write_bytes(b"half")
    with cache.part(dead.parent) as (alive, _):
        assert [entry.path for entry in cache.entries()] == [alive]
    assert names(tmp_path) == []


def test_a_file_that_was_used_since_it_was_looked_at_is_not_evicted(
    cache: LocalCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "storage"
    for name in ("a", "b"):
        use(cache, place / name, 40)
    before = cache.entries()
    with cache.held(place / "a", 40, refuse):
        pass
    monkeypatch.setattr(cache, "entries", lambda: before)
    cache.make_room(40)
    assert names(place) == ["a"]


def test_what_was_evicted_while_one_waited_for_its_lock_is_made_again(
    cache: LocalCache, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    lock, waited = fcntl.flock, []

    def evicted_first(file: Any, operation: int) -> None:
        if operation != fcntl.LOCK_UN and not waited and Path(file.name).parent.name != "locks":
            waited.append(file.name)
            Path(file.name).unlink()
        lock(file, operation)

    path, matrix = tmp_path / "storage" / "a", tmp_path / "features" / "m"
    use(cache, path, 40)
    monkeypatch.setattr(fcntl, "flock", evicted_first)
    assert use(cache, path, 40, b"y") == b"y" * 40
    waited.clear()
    with cache.grown(matrix, 40, grown(b"m", 40)):
        assert matrix.stat().st_size == 40
    assert waited == [str(matrix)]


def hammer(folder: Path, seed: int, told: Any) -> None:
    """Use files and matrices that do not fit together, checking each byte; tells what went wrong."""
    cache, random = LocalCache(folder, 100), np.random.default_rng(seed)
    try:
        for _ in range(80):
            n = int(random.integers(6))
            size = 20 + 5 * n
            path = folder / "storage" / f"d{n % 2}" / str(n)
            with cache.held(path, size, filled(bytes([65 + n]), size)) as file:
                assert file.read_bytes() == bytes([65 + n]) * size
            rows = int(random.integers(1, 50))
            with cache.grown(folder / "features" / str(n), rows, grown(bytes([97 + n]), rows)) as opened:
                mapped = np.memmap(opened, np.uint8, "r", shape=(rows,))
            assert mapped.tobytes() == bytes([97 + n]) * rows
    except BaseException as error:
        told.put(repr(error))
        raise
    told.put(None)


def test_processes_that_evict_at_once_never_take_away_what_another_uses(tmp_path: Path) -> None:
    context = multiprocessing.get_context("spawn")
    told = context.Queue()
    workers = [context.Process(target=hammer, args=(tmp_path, seed, told)) for seed in range(2)]
    for worker in workers:
        worker.start()
    assert [told.get(timeout=60) for _ in workers] == [None, None]
    for worker in workers:
        worker.join(30)
    assert sum(entry.bytes for entry in LocalCache(tmp_path, 100).entries()) <= 100
