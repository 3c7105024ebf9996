"""Lessons of students: kept beside each of them, and gathered into a file that one can be trained from again."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from models.artifacts import DESCRIPTION, pack_weights, read_arrays
from models.export.archive import write_archive
from models.replay import Lesson, digest_items, item_bytes, training_surroundings
from models.students.protocol import RawItem
from winnow import pool, registry
from winnow.db.tables import Student
from winnow.errors import Conflict
from worker.base import Runtime
from worker.round_data import RoundResult
from worker.round_inputs import Rows

_ARRAYS = "lesson.safetensors"
FORMAT = "winnow-training-data-1"
#: A chain of warm starts is not longer than this: students start cold every few rounds.
LONGEST_CHAIN = 50


def write_lesson(result: RoundResult, rows: Rows, encoder: dict[str, str], folder: Path) -> dict[str, Any]:
    """Write what a round's student was taught into ``lesson/`` of its folder; gives the facts for its recipe."""
    lesson = None if result.lesson is None else result.lesson()
    if lesson is None:
        return {}
    lesson = replace(lesson, numbers=rows.numbers(lesson.numbers), labeled=rows.numbers(lesson.labeled))
    weights = json.loads((folder / "student" / DESCRIPTION).read_text("utf-8"))["sha256"]
    to = folder / "lesson"
    to.mkdir()
    (to / _ARRAYS).write_bytes(pack_weights(lesson.arrays()))
    return {"weights_sha256": weights, **lesson.facts(), "encoder": encoder, "trained_with": training_surroundings()}


@dataclass(frozen=True)
class Link:
    """A student of a chain: its version, the facts of its recipe, and its lesson."""

    version: int
    facts: dict[str, Any]
    lesson: Lesson


def chain_of(runtime: Runtime, project_id: int, student: Student) -> list[Link]:
    """The lessons that lead to a student, from the cold start on.

    Raises:
        Conflict: the student, or one that it set out from, was trained before lessons were kept.
    """
    with runtime.database.read() as session:
        before = [*registry.list_students(session, project_id, before=student.version, limit=1_000)]
    links: list[Link] = []
    found: Student | None = student
    while found is not None and len(links) < LONGEST_CHAIN:
        facts = found.recipe.get("training")
        path = _lesson_file(runtime, found, before) if facts else None
        if not facts or path is None:
            raise Conflict(
                f"Student {student.version} cannot be trained again: what student {found.version} was taught is not "
                "kept. Students of later rounds can be."
            )
        lesson = Lesson.read(read_arrays(runtime.storage.get_bytes(path), path), facts)
        links.append(Link(found.version, facts, lesson))
        start = facts["start_sha256"]
        if start is None:
            return links[::-1]
        earlier = [one for one in before if (one.recipe.get("training") or {}).get("weights_sha256") == start]
        found = next((one for one in earlier if one.version < links[-1].version), None)
    raise Conflict(
        f"Student {student.version} cannot be trained again: the student that it set out from is not known any more. "
        "Students that started afresh can be."
    )


def _lesson_file(runtime: Runtime, student: Student, before: Sequence[Student]) -> str | None:
    """Where its lesson lies: beside it, or, where a round kept the student as it was, beside the one that it was."""
    weights = student.recipe["training"]["weights_sha256"]
    same = [one for one in before if (one.recipe.get("training") or {}).get("weights_sha256") == weights]
    paths = [f"{registry.lesson_path(one)}/{_ARRAYS}" for one in (student, *same) if one.version <= student.version]
    return next((path for path in paths if runtime.storage.exists(path)), None)


def write_training_data(runtime: Runtime, project_id: int, student: Student, out: Path) -> int:
    """Write the lessons that lead to a student, with their items, as a ZIP; gives its size.

    Raises:
        Conflict: a lesson is not kept, or an item was changed or deleted since.
    """
    links = chain_of(runtime, project_id, student)
    numbers = np.unique(np.concatenate([part for link in links for part in (link.lesson.numbers, link.lesson.labeled)]))
    with runtime.database.read() as session:
        items = pool.raw_items(session, project_id, numbers.tolist())
    for link in links:
        _check_items(link, numbers, items)
    contents = [item_bytes(item) for item in items]
    files = {
        "items.safetensors": pack_weights(
            {
                "numbers": numbers,
                "ends": np.cumsum([len(content) for content in contents], dtype=np.int64),
                "content": np.frombuffer(b"".join(contents) or b"\0", np.uint8),
            }
        ),
        **{f"lesson-{link.version}.safetensors": pack_weights(link.lesson.arrays()) for link in links},
    }
    manifest = {
        "format": FORMAT,
        "chain": [{"version": link.version, **link.facts} for link in links],
        "sha256": {name: hashlib.sha256(data).hexdigest() for name, data in sorted(files.items())},
    }
    files["manifest.json"] = (json.dumps(manifest, ensure_ascii=False, indent=1) + "\n").encode()
    write_archive(out, files)
    return out.stat().st_size


def _check_items(link: Link, numbers: np.ndarray[Any, np.dtype[np.int64]], items: Sequence[RawItem]) -> None:
    lesson = link.lesson
    for wanted, digest in zip((lesson.numbers, lesson.labeled), lesson.items_sha256, strict=True):
        places = np.searchsorted(numbers, wanted)
        if digest_items([items[place] for place in places.tolist()]) != digest:
            raise Conflict(
                f"Student {link.version} cannot be trained again: items that it was taught were changed or deleted."
            )
