"""Links to what ``/v1`` streams: the browser fetches the file itself, with its cookie."""

from __future__ import annotations

import streamlit as st

_SCRIPT = """
export default function ({ parentElement, data }) {
  const link = parentElement.querySelector("a");
  link.textContent = data.text;
  link.href = data.path;
  link.download = "";
}
"""
_STYLE = """
a { display: inline-block; font-family: var(--st-font); font-size: 0.92rem; white-space: nowrap; text-decoration: none;
  color: var(--st-text-color); padding: 0.45rem 0.9rem; border: 1px solid var(--st-border-color);
  border-radius: var(--st-button-radius); }
a:hover { border-color: var(--st-primary-color); color: var(--st-primary-color); }
"""
_mount = st.components.v2.component("winnow_download", html="<a></a>", css=_STYLE, js=_SCRIPT)


def download_link(text: str, path: str, *, key: str) -> None:
    """Show a link that saves what is at a path of the service; other addresses are refused with ValueError."""
    if not path.startswith("/v1/"):
        raise ValueError(f"{path!r} is not a path of the service")
    _mount(key=f"download-{key}", data={"text": text, "path": path}, width="content")
