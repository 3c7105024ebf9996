"""What a bundle holds beside its model: the manifest, the names of the classes, and the settings of its reader."""

from __future__ import annotations

from typing import TYPE_CHECKING

from predictor.errors import BundleError
from predictor.files import BundleFiles
from predictor.settings_check import check_labels, check_preprocess

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

FORMAT = 1
"""Version of the folder's layout that this file reads."""


def read_contents(files: BundleFiles) -> tuple[dict[str, Any], list[str], Mapping[str, Any] | None]:
    """Manifest, class names, and preprocess.json, which is None where there is none.

    Raises:
        BundleError: one of them is missing, damaged, or not of this format.
    """
    manifest = files.json("manifest.json")
    if not isinstance(manifest, dict) or manifest.get("format") != FORMAT:
        raise BundleError(f"{files.path}: its manifest.json is not of format {FORMAT}, which this file reads.")
    labels = check_labels(files.json("labels.json", manifest))
    if not files.has("preprocess.json"):
        return manifest, labels, None
    return manifest, labels, check_preprocess(files.json("preprocess.json", manifest))
