"""Temporary folders of jobs go with the block, or with the process."""

from __future__ import annotations

import os
import time

from winnow import workers
from winnow.scratch import scratch_folder, sweep_scratch
from winnow.settings import Settings


def test_a_folder_is_there_for_the_block(settings: Settings) -> None:
    with scratch_folder(settings) as folder:
        (folder / "file").write_text("x")
        assert sweep_scratch(settings) == []
        assert (folder / "file").exists()
    assert not folder.exists()


def test_folders_of_dead_processes_and_old_ones_are_swept(settings: Settings) -> None:
    dead = os.posix_spawn("/bin/true", ["true"], {})
    os.waitpid(dead, 0)
    place = settings.cache_folder / "scratch"
    of_dead, old, elsewhere = place / f"{workers.worker_name(dead)}~a", place / "elsewhere:1~b", place / "elsewhere:1~c"
    for folder in (of_dead, old, elsewhere):
        folder.mkdir(parents=True)
        (folder / "file").write_text("x")
    two_days_ago = time.time() - 2 * 86_400
    os.utime(old, (two_days_ago, two_days_ago))
    assert set(sweep_scratch(settings)) == {of_dead, old}
    assert list(place.iterdir()) == [elsewhere]
