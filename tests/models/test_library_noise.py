"""Libraries' warnings of each other are kept out while they are loaded, and only then; errors never are."""

from __future__ import annotations

import logging
import subprocess
import sys
import warnings

import pytest

from models.library_noise import without_noise


def test_warnings_are_kept_out_inside_and_come_again_after_it(caplog):
    said = logging.getLogger("torchao")

    def load():
        with without_noise():
            warnings.warn("about to go", FutureWarning, stacklevel=1)
            said.warning("Failed to load _C.so")
            said.error("broken")
            raise KeyError

    with pytest.raises(KeyError):
        load()
    said.warning("heard")
    assert [record.message for record in caplog.records] == ["broken", "heard"]
    with pytest.warns(FutureWarning, match="heard too"):
        warnings.warn("heard too", FutureWarning, stacklevel=1)


def test_what_fine_tunes_is_loaded_without_a_word():
    pytest.importorskip("accelerate")
    loading = [sys.executable, "-c", "import models.finetune.fitting"]
    assert subprocess.run(loading, capture_output=True, text=True, check=True).stderr == ""
