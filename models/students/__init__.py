"""Students: one family a file, each small enough for a cheap CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.errors import ModelError

if TYPE_CHECKING:
    from models.students.protocol import Network

FAMILIES_OF_TASK = {"text": ("static", "hashed"), "image": ("convnet",), "features": ("mlp",)}
"""What reads the items of a task; the first one unless another is named."""
TRANSFORMERS = ("transformer-1", "transformer-2", "transformer-3")
"""These read texts too, but are only made when named: each takes minutes to train where the others take seconds."""


PIECES = ("static-pieces",)
"""Made when named, too: its bundles need the package tokenizers."""


def make_family(task: str, name: str = "auto") -> str:
    """The family of students for a task; raises ModelError where ``name`` does not read such items.

    >>> make_family("text"), make_family("text", "hashed")
    ('static', 'hashed')
    """
    families = FAMILIES_OF_TASK.get(task)
    if families is None:
        raise ModelError(f"There is no student for {task!r} items; use one of: {', '.join(FAMILIES_OF_TASK)}.")
    named = (*families, *PIECES, *TRANSFORMERS) if task == "text" else families
    if name not in ("auto", *named):
        known = ", ".join(map(repr, named))
        raise ModelError(f"The student {name!r} does not read {task} items; use 'auto' or one of: {known}.")
    return families[0] if name == "auto" else name


def network_class(family: str) -> type[Network]:
    """The class behind a family's name; loads torch. Raises ModelError for an unknown name."""
    from models.students.convnet import ConvNetwork
    from models.students.hashed import HashedNetwork
    from models.students.mlp import MlpNetwork
    from models.students.pieces import PiecesNetwork
    from models.students.static import StaticNetwork
    from models.students.transformer import OneLayer, ThreeLayers, TwoLayers

    kinds = (StaticNetwork, PiecesNetwork, HashedNetwork, ConvNetwork, MlpNetwork, OneLayer, TwoLayers, ThreeLayers)
    classes: dict[str, type[Network]] = {kind.family: kind for kind in kinds}
    if family not in classes:
        raise ModelError(f"There is no student family {family!r}; use one of: {', '.join(classes)}.")
    return classes[family]
