"""Accounts: whoever has an e-mail at the source is whoever has it at the target."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select
from sqlalchemy.engine import Connection

from winnow.chunks import chunks
from winnow.copying.plan import PEOPLE, table
from winnow.copying.rows import new_ids


@dataclass
class People:
    """Who is who: ids at the target by ids at the source, and the e-mails of those who were there and were made.

    ``lowered`` are those who were owner or admin at the source and are members at the target.
    """

    ids: dict[int, int] = field(default_factory=dict)
    matched: list[str] = field(default_factory=list)
    made: list[str] = field(default_factory=list)
    lowered: list[str] = field(default_factory=list)
    rows: dict[int, dict[str, Any]] = field(default_factory=dict)


def has_accounts(target: Connection) -> bool:
    """Whether anybody has an account at the target."""
    return target.execute(select(table("users").c.id).limit(1)).first() is not None


def all_people(source: Connection) -> set[int]:
    """The ids of all accounts at the source."""
    return set(source.execute(select(table("users").c.id)).scalars())


def bring_people(source: Connection, target: Connection, wanted: Iterable[int], *, keep_roles: bool) -> People:
    """Find the accounts ``wanted`` (ids at the source) at the target by e-mail, and make those that are not there.

    Who is made keeps password, date and state, and the role of owner or admin only with ``keep_roles``: a server that
    has an owner gets no second one from somebody's laptop.
    """
    users = table("users")
    people = People()
    theirs = list(_chosen(source, "id", sorted(wanted)))
    there = {row["email"]: row["id"] for row in _chosen(target, "email", [row["email"] for row in theirs])}
    new = [row for row in theirs if row["email"] not in there]
    for row, new_id in zip(new, new_ids(target, "users", len(new)), strict=True):
        made = {column: row[column] for column in PEOPLE} | {"id": new_id}
        if row["role"] != "member" and not keep_roles:
            made["role"] = "member"
            people.lowered.append(row["email"])
        target.execute(users.insert(), made)
        people.made.append(row["email"])
        people.rows[new_id] = made
        there[row["email"]] = new_id
    people.ids = {row["id"]: there[row["email"]] for row in theirs}
    people.matched = [row["email"] for row in theirs if row["email"] not in set(people.made)]
    return people


def _chosen(connection: Connection, column: str, values: list[Any]) -> Iterator[dict[str, Any]]:
    users = table("users")
    for some in chunks(values):
        for row in connection.execute(select(*users.c).where(users.c[column].in_(some)).order_by(users.c.id)):
            yield dict(row._mapping)
