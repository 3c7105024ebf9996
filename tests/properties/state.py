"""A project in plain Python, and what the contract says follows from it. Nothing here is taken from the service."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from tests.properties.world import ItemRow, Person


@dataclass
class Said:
    """A row of the history; ``user`` is None for what an import said."""

    id: int
    item: int
    user: int | None
    kind: str
    value: str | None
    source: str
    mechanism: str | None
    probability: float | None
    round: int
    stands: bool = True
    by: int | None = None


@dataclass
class Grant:
    """An item in somebody's hands until ``until``, and what drew it."""

    lease: int
    item: int
    user: int
    seconds: float
    at: datetime
    until: datetime
    position: int
    mechanism: str
    probability: float | None
    round: int


@dataclass
class Queued:
    """A ranked item and what it was ranked with."""

    item: int
    round: int
    number: int


@dataclass
class State:
    """A project, its people (by place) and all that was ever said of its items."""

    people: Sequence[Person]
    holdout: Any = False
    overlap: int = 1
    archived: bool = False
    items: dict[int, ItemRow] = field(default_factory=dict)
    said: dict[int, Said] = field(default_factory=dict)
    grants: dict[tuple[int, int], Grant] = field(default_factory=dict)
    requests: dict[tuple[int, str], tuple[Any, tuple[int, int]]] = field(default_factory=dict)
    queue: list[Queued] = field(default_factory=list)
    ranked_round: int = 0
    cutoff: int = 0
    round_labels: int = 0
    gone: set[int] = field(default_factory=set)

    # What follows from it

    def standing(self, item: int) -> list[Said]:
        """Labels, skips and flags that stand on an item, the oldest first."""
        return sorted((s for s in self.said.values() if s.item == item and s.stands), key=lambda said: said.id)

    def labels(self, item: int) -> list[Said]:
        """The labels that stand on an item; skips and flags are none."""
        return [said for said in self.standing(item) if said.kind == "label"]

    def needs_labels(self, item: int) -> bool:
        """Test rows and what came with a label are never served; the others until ``overlap`` labels stand."""
        labels = self.labels(item)
        imported = any(said.source == "import" for said in labels)
        return self.items[item].split != "test" and not imported and len(labels) < self.overlap

    def holders(self, item: int, now: datetime) -> list[Grant]:
        """Live leases of an item, the oldest first."""
        live = [grant for grant in self.grants.values() if grant.item == item and grant.until > now]
        return sorted(live, key=lambda grant: (grant.at, grant.lease))

    def held(self, user: int, now: datetime) -> list[Grant]:
        """What somebody holds, in the order in which it was handed out."""
        live = [grant for grant in self.grants.values() if grant.user == user and grant.until > now]
        return sorted(live, key=lambda grant: (grant.at, grant.position, grant.lease))

    def servable(self, user: int, now: datetime) -> set[int]:
        """What may be handed to somebody: needs labels, has room, and is not held, labelled or skipped by them."""
        found = set()
        for item in self.items:
            holders = self.holders(item, now)
            mine = any(grant.user == user for grant in holders) or any(s.user == user for s in self.standing(item))
            room = len(self.labels(item)) + len(holders) < self.overlap
            if self.needs_labels(item) and room and not mine:
                found.add(item)
        return found

    def remaining(self) -> int:
        """How many items still need labels, leased ones included."""
        return sum(map(self.needs_labels, self.items))

    def human_labels(self) -> list[Said]:
        """The standing labels of people."""
        return [said for said in self.said.values() if said.stands and said.kind == "label" and said.user is not None]
