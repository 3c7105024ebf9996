"""What people should know of a project's encoder, for the pages of rounds and of settings."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from client import Project
from ui.escaping import escape

_TEXT_ENCODERS = ("auto", "minilm", "hashed")


def show_encoder(stats: Mapping[str, Any]) -> None:
    """Say which texts the encoder does not read well; nothing where all is well, or nothing is encoded yet."""
    for words in (stats.get("encoder") or {}).get("words", ()):
        st.warning(escape(str(words)), icon=":material/translate:")


def encoder_field(project: Project) -> dict[str, str]:
    """Ask, within a form, which encoder reads the texts; the setting, or nothing where there is nothing to choose.

    One that the operator registered can be kept here, and is named in the API.
    """
    if project.task != "text":
        return {}
    present = str(project.settings.get("encoder", "auto"))
    offered = [*_TEXT_ENCODERS, *([] if present in _TEXT_ENCODERS else [present])]
    encoder = st.selectbox(
        "Encoder",
        offered,
        index=offered.index(present),
        help="auto: MiniLM where it is installed, until a hundred labels say which serves them better. hashed reads "
        "any language. Another one encodes all items anew; a round follows. Labels stay.",
    )
    return {"encoder": str(encoder)}
