"""The page code of our components: HTML, CSS and JavaScript files beside the Python, read as package data."""

from __future__ import annotations

from importlib.resources import files
from typing import TypedDict


class PageCode(TypedDict):
    """What ``st.components.v2.component`` takes: each the content, not a path."""

    html: str
    css: str
    js: str


def read_page_code(package: str, name: str, scripts: tuple[str, ...] | None = None) -> PageCode:
    """Read ``name.html``, ``name.css`` and the scripts of a package.

    Components are handed over as strings, and a module made from a string can import no neighbour: the scripts are
    joined, in the order given, into one module.
    """
    folder = files(package)
    return PageCode(
        html=(folder / f"{name}.html").read_text(encoding="utf-8"),
        css=(folder / f"{name}.css").read_text(encoding="utf-8"),
        js="\n".join((folder / script).read_text(encoding="utf-8") for script in scripts or (f"{name}.js",)),
    )
