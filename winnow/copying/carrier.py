"""What one project's rows need to know on their way: new ids, accounts and paths."""

from __future__ import annotations

import re
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from winnow.errors import Conflict
from winnow.leftovers import uploads_of
from winnow.storage import project_prefix


class CopyRefused(Conflict):
    """The copy cannot be made, and nothing of it was left at the target; ``detail`` says why and what to do."""

    slug = "copy-refused"
    title = "Not copied"


class IdMap:
    """Old ids to new ones, both ascending: 16 bytes a row.

    >>> ids = IdMap([3, 5, 9], [101, 102, 103])
    >>> ids.new(5), ids.newest_up_to(8), ids.newest_up_to(2), len(ids)
    (102, 102, 0, 3)
    """

    def __init__(self, old: Iterable[int], new: Iterable[int]) -> None:
        self._old, self._new = array("q", old), array("q", new)
        if len(self._old) != len(self._new):
            raise ValueError(f"{len(self._old)} rows and {len(self._new)} ids")

    def __len__(self) -> int:
        return len(self._old)

    def new(self, old: int) -> int:
        """The new id of a row.

        Raises:
            CopyRefused: it is not among them.
        """
        place = bisect_left(self._old, old)
        if place == len(self._old) or self._old[place] != old:
            raise CopyRefused(f"A row points to number {old}, which the project does not have: the source is damaged.")
        return self._new[place]

    def known(self, old: int) -> int | None:
        """The new id of a row; None when it is not among them."""
        place = bisect_left(self._old, old)
        return self._new[place] if place < len(self._old) and self._old[place] == old else None

    def newest_up_to(self, old: int) -> int:
        """The new id of the last row up to this one; 0 when there is none."""
        place = bisect_right(self._old, old)
        return self._new[place - 1] if place else 0


#: A file or a folder of an attempt of a job: see winnow.attempt_files.
_ATTEMPT = re.compile(r"([^/]+)/([0-9]+)-([0-9]+)((?:/.*)?)")
_BUNDLE = re.compile(r"/v1/projects/([0-9]+)/students/([0-9]+)/exports/([0-9]+)")


@dataclass
class Carrier:
    """The way of one project: ``old`` is its id at the source, ``project`` the one at the target.

    ``people`` are accounts, by their ids at the source. ``superfluous`` are jobs that ran while another of their kind
    waited already. ``moment`` is when the copy was begun.
    """

    old: int
    project: int
    people: Mapping[int, int]
    superfluous: frozenset[int]
    moment: datetime
    ids: dict[str, IdMap] = field(default_factory=dict)

    def person(self, user_id: int) -> int:
        """The account at the target of whoever has this id at the source."""
        return self.people[user_id]

    def path(self, path: str) -> str:
        """Where a file of the project lies at the target: the ids of project and job in it are new.

        Raises:
            CopyRefused: it is not a path inside the project's folders.
        """
        uploads = f"{uploads_of(self.old)}/"
        if path.startswith(uploads):
            return self._upload(path.removeprefix(uploads))
        prefix = f"{project_prefix(self.old)}/"
        if not path.startswith(prefix):
            raise CopyRefused(f"The file {path!r} lies outside the project's folders: the source is damaged.")
        rest = path.removeprefix(prefix)
        attempt = _ATTEMPT.fullmatch(rest)
        if attempt is not None:
            purpose, job, number, inside = attempt.groups()
            rest = f"{purpose}/{self.ids['jobs'].new(int(job))}-{number}{inside}"
        return f"{project_prefix(self.project)}/{rest}"

    def _upload(self, name: str) -> str:
        """An upload's name begins with its age; a server at the target must not take it for one that was forgotten."""
        return f"{uploads_of(self.project)}/{int(self.moment.timestamp())}-{name.partition('-')[2] or name}"

    def with_paths(self, value: dict[str, Any], places: Sequence[str]) -> dict[str, Any]:
        """JSON of a job with the paths, the address of a bundle and the ids in it as they are at the target."""
        new = dict(value)
        for place in places:
            found = new.get(place)
            if isinstance(found, dict):
                new[place] = {name: self._reference(path) for name, path in found.items()}
            elif isinstance(found, str):
                new[place] = self._reference(found)
        for label in ("first", "last"):  # of a run that labelled the rest
            if isinstance(new.get(label), int):
                new[label] = self.ids["labels"].new(new[label])
        if "run" in new:
            new["run"] = _same_type(new["run"], self.ids["jobs"].known(_number(new["run"])))
        return new

    def _reference(self, reference: str) -> str:
        bundle = _BUNDLE.fullmatch(reference)
        if bundle is None:
            return self.path(reference)
        return f"/v1/projects/{self.project}/students/{bundle[2]}/exports/{self.ids['jobs'].new(int(bundle[3]))}"

    def audit_detail(self, detail: dict[str, Any]) -> dict[str, Any]:
        """An audit entry's detail with the new ids of the job and the person that it names; null for unknown ones."""
        new = dict(detail)
        if "job" in new:
            new["job"] = _same_type(new["job"], self.ids["jobs"].known(_number(new["job"])))
        if "user" in new:
            new["user"] = _same_type(new["user"], self.people.get(_number(new["user"])))
        return new

    def waiting_job(self, row: dict[str, Any], new: dict[str, Any]) -> dict[str, Any]:
        """A job that had not ended waits at the target, to be taken up from its checkpoint under its next attempt.

        At most one of a kind may wait: one that ran while another waited is canceled, the other does its work.
        """
        if row["state"] not in ("queued", "running"):
            return new
        new |= {"worker": None, "lease_until": None, "hinted_at": None}
        if row["id"] in self.superfluous:
            message = "canceled: it ran while the project was copied, and another one waits"
            return new | {"state": "canceled", "finished_at": self.moment, "message": message}
        return new | {"state": "queued"}


def _number(value: Any) -> int:
    text = str(value)
    return int(text) if text.isascii() and text.isdecimal() and len(text) < 19 else -1


def _same_type(old: Any, new: int | None) -> Any:
    return str(new) if isinstance(old, str) and new is not None else new
