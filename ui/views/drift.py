"""Drift in words, for the page of rounds."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from ui.escaping import escape


def show_drift(stats: Mapping[str, Any]) -> None:
    """Say how the newest items compare with the pool; nothing while that is not measurable."""
    found = stats.get("drift")
    if not found:
        return
    words = escape(str(found["words"]))
    if found["drifted"]:
        st.warning(words, icon=":material/trending_up:")
    else:
        st.caption(words)
