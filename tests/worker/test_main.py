"""What a worker knows of its processes."""

from __future__ import annotations

from types import SimpleNamespace

from winnow.settings import Settings
from worker.main import _Worker


def test_a_process_that_is_about_to_start_has_no_id_yet(settings: Settings) -> None:
    worker = _Worker(settings, 2, False)
    assert worker._pids() == set(), "there is no pool yet"
    processes = [SimpleNamespace(pid=7), SimpleNamespace(pid=None)]
    worker._controller = SimpleNamespace(pool=SimpleNamespace(_pool=SimpleNamespace(_pool=processes)))
    assert worker._pids() == {7}
