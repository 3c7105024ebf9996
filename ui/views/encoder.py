"""What people should know of a project's encoder, for the pages of rounds and of settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from ui.escaping import escape


def show_encoder(stats: Mapping[str, Any]) -> None:
    """Say which texts the encoder does not read well; nothing where all is well, or nothing is encoded yet."""
    for words in (stats.get("encoder") or {}).get("words", ()):
        st.warning(escape(str(words)), icon=":material/translate:")
