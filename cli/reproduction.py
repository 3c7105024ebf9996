"""Training a bundle's student again, and saying whether it became the same."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from cli.errors import CommandError
from models.artifacts import read_arrays
from models.errors import ModelError
from models.replay import Lesson, digest_items, replay, training_surroundings, weights_sha256
from models.students.student import Student
from models.trunks import Trunk, load_trunk
from predictor import BundleError, load
from predictor.files import BundleFiles
from winnow.settings import Settings
from worker.lessons import FORMAT
from worker.project_encoder import hub_models

#: Items on which the bundle's own model is compared with the student that was trained again.
COMPARED_ITEMS = 1_000


@dataclass
class Outcome:
    """What came of it.

    Attributes:
        same: Whether the weights are the same to the bit.
        expected: SHA-256 of the fp32 weights, as the bundle tells it.
        found: Of those that were trained again.
        chain: The versions that were trained, one after the other.
        agreement: Share of items on which the bundle's model gives the label of the student that was trained again.
        differences: What is not as it was when the student was trained.
    """

    same: bool
    expected: str
    found: str
    chain: list[int]
    agreement: float | None
    differences: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """For people."""
        trained = " → ".join(f"v{version}" for version in self.chain)
        said = [f"trained again: {trained}", f"weights: sha256 {self.found}"]
        if self.same:
            said.append("the same weights as the bundle's student, to the bit")
        else:
            said.append(f"NOT the same: the bundle tells sha256 {self.expected}")
        if self.agreement is not None:
            said.append(f"the bundle's model gives its label on {self.agreement:.2%} of the items that it was taught")
        return said + [f"differs: {what}" for what in self.differences]


def read_training(bundle: Path) -> tuple[dict[str, Any], dict[str, Any]]:
    """The manifest of a bundle, and what it tells of the training.

    Raises:
        CommandError: it is no bundle, or was made before that was kept.
    """
    try:
        manifest = BundleFiles(bundle).json("manifest.json")
    except BundleError as error:
        raise CommandError(str(error)) from error
    training = manifest.get("training") if isinstance(manifest, dict) else None
    if not isinstance(training, dict) or not isinstance(training.get("weights_sha256"), str):
        raise CommandError(
            f"{bundle} does not tell how it was trained: export it again from a student of a newer round"
        )
    return manifest, training


def reproduce(bundle: Path, data: Path) -> Outcome:
    """Train the student of a bundle again from its training data.

    Raises:
        CommandError: a file is damaged, the data is of another student, or the encoder that the student is cut from is
            not on this machine.
    """
    training = read_training(bundle)[1]
    links, items = _read_data(data)
    version, facts, _ = links[-1]
    if facts.get("weights_sha256") != training["weights_sha256"]:
        raise CommandError(f"{data} is of student v{version}, which is another one than the bundle's")
    differences = _changes(training, facts)
    student: Student | None = None
    for version, facts, lesson in links:
        start, trunk = None if student is None else student.arrays(), _trunk(lesson, facts)
        student = replay(lesson, items.of(lesson.numbers), items.of(lesson.labeled), start, trunk)
        found = weights_sha256(student.arrays())
        if found != facts.get("weights_sha256"):
            differences.append(f"v{version} became {found[:12]}…, not {str(facts.get('weights_sha256'))[:12]}…")
            differences += _surroundings(facts.get("trained_with"))
            break
    assert student is not None  # noqa: S101 — a chain has a link
    found, expected = weights_sha256(student.arrays()), str(training["weights_sha256"])
    trained = [link[0] for link in links]
    agreement = _agreement(bundle, student, items.of(lesson.numbers[:COMPARED_ITEMS])) if found == expected else None
    return Outcome(found == expected, expected, found, trained, agreement, differences)


def _trunk(lesson: Lesson, facts: Mapping[str, Any]) -> Trunk | None:
    """What the student is cut from, from this machine's copy of the encoder; None for one that is cut from nothing."""
    if lesson.trunk_sha256 is None:
        return None
    name = str((facts.get("encoder") or {}).get("name"))
    try:
        trunk = load_trunk(name, hub_models(Settings()))
    except ModelError as error:
        raise CommandError(f"the student is cut from the encoder {name}, which is needed again: {error}") from error
    if trunk.sha256() != lesson.trunk_sha256:
        raise CommandError(
            f"the student is cut from the encoder {name}, and here that is another one: its first layers are sha256 "
            f"{trunk.sha256()}, not {lesson.trunk_sha256}"
        )
    return trunk


def _changes(told: Mapping[str, Any], found: Mapping[str, Any]) -> list[str]:
    """Digests and settings that the bundle tells otherwise than the data does."""
    names = (
        *("family", "class_names", "seed", "place", "start_sha256", "trunk_sha256", "options"),
        *("transfer", "labels", "encoder"),
    )
    return [
        f"{name}: {told.get(name)} in the bundle, {found.get(name)} in the data"
        for name in names
        if told.get(name) != found.get(name)
    ]


def _surroundings(then: Any) -> list[str]:
    """What of the versions and the machine is not as it was."""
    before = then if isinstance(then, dict) else {}
    now = training_surroundings()
    changed = [f"{name}: {before.get(name)} then, {now[name]} now" for name in now if before.get(name) != now[name]]
    return changed or ["neither versions nor processor: the data, or something that no one thought of"]


class _Items:
    """Raw items by their numbers."""

    def __init__(self, task: str, arrays: Mapping[str, NDArray[Any]]):
        self._task, self._numbers = task, arrays["numbers"].astype(np.int64)
        self._ends, self._content = arrays["ends"].astype(np.int64), arrays["content"].astype(np.uint8, copy=False)
        ordered = (np.diff(self._numbers) > 0).all() and (np.diff(self._ends, prepend=0) >= 0).all()
        if len(self._ends) != len(self._numbers) or not ordered or self._ends.max(initial=0) > len(self._content):
            raise CommandError("the training data is damaged: its items do not fit their numbers; download it again")

    def of(self, numbers: NDArray[np.int64]) -> list[Any]:
        """The items with these numbers, in order."""
        places = np.searchsorted(self._numbers, numbers)
        if len(numbers) and (places.max() >= len(self._numbers) or (self._numbers[places] != numbers).any()):
            raise CommandError("the training data lacks items of its lessons; download it again")
        return [self._item(place) for place in places.tolist()]

    def _item(self, place: int) -> Any:
        data = self._content[self._ends[place - 1] if place else 0 : self._ends[place]].tobytes()
        if self._task == "text":
            return data.decode("utf-8", "surrogatepass")
        return data if self._task == "image" else np.frombuffer(data, "<f4").astype(np.float32)


def _read_data(path: Path) -> tuple[list[tuple[int, dict[str, Any], Lesson]], _Items]:
    """The links of a chain, each with its facts and its lesson, and the items."""
    from models.students import network_class

    try:
        files = BundleFiles(path)
        manifest = files.json("manifest.json")
        if not isinstance(manifest, dict) or manifest.get("format") != FORMAT or not manifest.get("chain"):
            raise CommandError(f"{path} is no training data: make it with the export format training-data")

        def arrays(name: str) -> dict[str, NDArray[Any]]:
            return read_arrays(files.checked(name, files.read(name), manifest), name)

        links = []
        for facts in manifest["chain"]:
            version = int(facts["version"])
            links.append((version, facts, Lesson.read(arrays(f"lesson-{version}.safetensors"), facts)))
        items = _Items(network_class(links[-1][2].family).task, arrays("items.safetensors"))
    except BundleError as error:
        raise CommandError(str(error)) from error
    except (KeyError, TypeError, ValueError) as error:
        raise CommandError(f"{path} is damaged ({error!r}); download it again") from error
    for version, _, lesson in links:
        for numbers, digest in zip((lesson.numbers, lesson.labeled), lesson.items_sha256, strict=True):
            if digest_items(items.of(numbers)) != digest:
                raise CommandError(f"{path} is damaged: the items of v{version} are not those that it was taught")
    return links, items


def _agreement(bundle: Path, student: Student, items: Sequence[Any]) -> float | None:
    """How often the bundle's own model gives the student's label."""
    if not len(items):
        return None
    try:
        answers = load(bundle).predict_proba(items)
    except BundleError as error:
        raise CommandError(str(error)) from error
    return float((answers.argmax(1) == student.predict_proba(items).argmax(1)).mean())
