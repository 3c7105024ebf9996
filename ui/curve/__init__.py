"""The learning curve as a component of its own: it follows the theme, and needs no script that the policy forbids."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass

import streamlit as st

from ui.page_code import read_page_code

_mount = st.components.v2.component("winnow_curve", **read_page_code(__name__, "curve"))


@dataclass(frozen=True)
class CurvePoint:
    """Accuracy (0 to 1) after so many labels; ``low`` and ``high`` are its 95 % interval, None where there is none."""

    labels: int
    value: float
    low: float | None = None
    high: float | None = None


def curve(points: Sequence[CurvePoint], caption: str) -> None:
    """Draw the curve; shows nothing for no points."""
    if points:
        _mount(key="curve", data={"points": [asdict(point) for point in points], "caption": caption})
