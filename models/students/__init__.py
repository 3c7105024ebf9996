"""Students: one family a file, each small enough for a cheap CPU."""

from __future__ import annotations

from typing import TYPE_CHECKING

from models.errors import ModelError

if TYPE_CHECKING:
    from models.students.protocol import Network

FAMILY_OF_TASK = {"text": "hashed", "image": "convnet", "features": "mlp"}


def make_family(task: str, name: str = "auto") -> str:
    """The family of students for a task; raises ModelError where ``name`` does not read such items.

    >>> make_family("text")
    'hashed'
    """
    family = FAMILY_OF_TASK.get(task)
    if family is None:
        raise ModelError(f"There is no student for {task!r} items; use one of: {', '.join(FAMILY_OF_TASK)}.")
    if name not in ("auto", family):
        raise ModelError(f"The student {name!r} does not read {task} items; use 'auto' or {family!r}.")
    return family


def network_class(family: str) -> type[Network]:
    """The class behind a family's name; loads torch. Raises ModelError for an unknown name."""
    from models.students.convnet import ConvNetwork
    from models.students.hashed import HashedNetwork
    from models.students.mlp import MlpNetwork

    classes: dict[str, type[Network]] = {c.family: c for c in (HashedNetwork, ConvNetwork, MlpNetwork)}
    if family not in classes:
        raise ModelError(f"There is no student family {family!r}; use one of: {', '.join(classes)}.")
    return classes[family]
