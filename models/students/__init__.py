"""Students: one family a file, each small enough for a cheap CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.errors import ModelError

if TYPE_CHECKING:
    from models.students.protocol import Network

FAMILY_OF_TASK = {"text": "hashed", "image": "convnet", "features": "mlp"}
TRANSFORMERS = ("transformer-1", "transformer-2", "transformer-3")
"""Never chosen by ``auto``: each takes minutes to train where the others take seconds."""


def make_family(task: str, name: str = "auto") -> str:
    """The family of students for a task; raises ModelError where ``name`` does not read such items.

    >>> make_family("text")
    'hashed'
    """
    family = FAMILY_OF_TASK.get(task)
    if family is None:
        raise ModelError(f"There is no student for {task!r} items; use one of: {', '.join(FAMILY_OF_TASK)}.")
    others = TRANSFORMERS if task == "text" else ()
    if name in others:
        return name
    if name not in ("auto", family):
        known = ", ".join(repr(each) for each in ("auto", family, *others))
        raise ModelError(f"The student {name!r} does not read {task} items; use one of: {known}.")
    return family


def network_class(family: str) -> type[Network]:
    """The class behind a family's name; loads torch. Raises ModelError for an unknown name."""
    from models.students.convnet import ConvNetwork
    from models.students.hashed import HashedNetwork
    from models.students.mlp import MlpNetwork
    from models.students.transformer import OneLayer, ThreeLayers, TwoLayers

    kinds = (HashedNetwork, ConvNetwork, MlpNetwork, OneLayer, TwoLayers, ThreeLayers)
    classes: dict[str, type[Network]] = {c.family: c for c in kinds}
    if family not in classes:
        raise ModelError(f"There is no student family {family!r}; use one of: {', '.join(classes)}.")
    return classes[family]
