"""How long the machines run: bounded and the same every time, or as long as ``WINNOW_TEST_EXAMPLES`` says."""

from __future__ import annotations

import os

import hypothesis
import pytest
from hypothesis import Phase

WANTED = os.environ.get("WINNOW_TEST_EXAMPLES")
#: A long run takes as long as it takes.
patient = pytest.mark.timeout(0 if WANTED else 300)


def bounded(examples: int, *, steps: int = 50, phases: tuple[Phase, ...] = tuple(Phase)) -> hypothesis.settings:
    """So many examples; ``WINNOW_TEST_EXAMPLES`` runs as many as it says, at random."""
    profile = hypothesis.settings.get_profile("winnow-long" if WANTED else "winnow")
    phases = tuple(phase for phase in phases if phase in profile.phases)
    return hypothesis.settings(profile, max_examples=int(WANTED or examples), stateful_step_count=steps, phases=phases)


def tell(config: pytest.Config, line: str) -> None:
    """Say how far a long run came."""
    if WANTED:
        with config.pluginmanager.getplugin("capturemanager").global_and_fixture_disabled():
            config.get_terminal_writer().line(f"\n{line}")
