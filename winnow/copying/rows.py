"""Reading a project's rows as a stream, numbering them anew, and writing them."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from typing import Any

from sqlalchemy import Select, func, literal_column, select, text
from sqlalchemy.engine import Connection

from winnow.copying.carrier import Carrier, IdMap
from winnow.copying.plan import NUMBERED, PLAN, carried, table

#: Rows in memory at once, where one may be large: an image of ten megabytes, a text of a hundred thousand letters.
_FETCH = {"contents": 16, "items": 250}
_FETCH_OTHERS = 1_000

Row = dict[str, Any]


def rows_of(connection: Connection, name: str, project_id: int) -> Iterator[Row]:
    """The rows of a project in the table ``name``, in the order of their keys."""
    return _streamed(connection, name, _of_project(name, project_id))


def count_rows(connection: Connection, name: str, project_id: int) -> int:
    """How many rows of a project the table ``name`` has."""
    found = connection.execute(select(func.count()).select_from(_of_project(name, project_id).subquery()))
    return int(found.scalar_one())


def write_rows(connection: Connection, carrier: Carrier, name: str, rows: Iterable[Row]) -> Iterator[int]:
    """Write the rows of a project as they are to be at the target; gives the number of each chunk."""
    insert = table(name).insert()
    moving = (carried(carrier, name, row) for row in rows)
    while chunk := list(islice(moving, _FETCH.get(name, _FETCH_OTHERS))):
        connection.execute(insert, chunk)
        yield len(chunk)


def number_rows(source: Connection, target: Connection, project_id: int, *, keep: bool) -> dict[str, IdMap]:
    """The ids at the target of all rows of a project: new ones in the order of the old; with ``keep`` the old ones."""
    numbered = {}
    for name in NUMBERED:
        rows = table(name)
        wanted = select(rows.c.id).where(rows.c.project_id == project_id).order_by(rows.c.id)
        old = array("q", source.execute(wanted, execution_options={"yield_per": 10_000}).scalars())
        numbered[name] = IdMap(old, ids_for(target, name, old, keep=keep))
    return numbered


def ids_for(target: Connection, name: str, old: Sequence[int], *, keep: bool) -> Iterable[int]:
    """Ids for rows that had the ids ``old``, ascending: the same with ``keep``, unless one is or was taken."""
    if not old or not keep or _taken(target, name, old):
        return new_ids(target, name, len(old))
    if target.dialect.name == "postgresql":
        advance = text(
            "SELECT setval(sequence, :newest) FROM (SELECT pg_get_serial_sequence(:name, 'id')::regclass AS sequence) "
            "AS of WHERE coalesce(pg_sequence_last_value(sequence), 0) < :newest"
        )
        target.execute(advance, {"name": name, "newest": old[-1]})
    return old


def _taken(target: Connection, name: str, old: Sequence[int]) -> bool:
    columns = [table(name).c.id]
    if name == "projects":  # a purge leaves the audit trail, which names the project, and so do copies of its files
        columns.append(table("audit").c.project_id)
    for ids in columns:
        among = select(ids).distinct().where(ids.between(old[0], old[-1]))
        with target.execute(among, execution_options={"yield_per": 10_000}) as found:
            if any(old[bisect_left(old, row_id)] == row_id for row_id in found.scalars()):
                return True
    return False


def new_ids(target: Connection, name: str, count: int) -> Iterable[int]:
    """``count`` ascending ids that no row of the table ``name`` has, or ever gets from elsewhere.

    On PostgreSQL they are taken from the sequence, so that others can go on writing meanwhile; the writer of a SQLite
    database is alone.
    """
    if target.dialect.name == "postgresql":
        taken = text("SELECT nextval(pg_get_serial_sequence(:name, 'id')) FROM generate_series(1, :count)")
        options = {"yield_per": 10_000}
        found = target.execute(taken, {"name": name, "count": count}, execution_options=options).scalars()
        return sorted(array("q", found))
    last = target.execute(text("SELECT max(seq) FROM sqlite_sequence WHERE name = :name"), {"name": name}).scalar() or 0
    highest = target.execute(select(func.max(table(name).c.id))).scalar() or 0
    first = max(last, highest) + 1
    return range(first, first + count)


def _of_project(name: str, project_id: int) -> Select[Any]:
    rows = table(name)
    wanted = select(*rows.c).order_by(*rows.primary_key.columns)
    if name == "projects":
        return wanted.where(rows.c.id == project_id)
    if name == "contents":
        items = table("items")
        return wanted.join_from(rows, items, items.c.id == rows.c.item_id).where(items.c.project_id == project_id)
    return wanted.where(rows.c.project_id == project_id)


def _streamed(connection: Connection, name: str, wanted: Select[Any]) -> Iterator[Row]:
    options = {"yield_per": _FETCH.get(name, _FETCH_OTHERS)}
    with connection.execute(wanted, execution_options=options) as found:
        names = list(found.keys())
        for row in found:
            yield dict(zip(names, row, strict=True))


def referenced_people(connection: Connection, project_id: int) -> set[int]:
    """The ids of all accounts that appear in a project's rows."""
    from winnow.copying.plan import person

    found: set[int] = set()
    for name, columns in PLAN.items():
        for column, rule in columns.items():
            if rule is person:
                of_project = _of_project(name, project_id).order_by(None).subquery()
                ids = connection.execute(select(of_project.c[column]).distinct()).scalars()
                found.update(user_id for user_id in ids if user_id is not None)
    members = ("member.add", "member.remove")
    audit = table("audit")
    details = select(audit.c.detail).where(audit.c.project_id == project_id, audit.c.action.in_(members))
    named = {str(detail.get("user")) for detail in connection.execute(details).scalars()}
    known = set(connection.execute(select(table("users").c.id)).scalars())
    return found | {user_id for user_id in known if str(user_id) in named}


def begin_snapshot(connection: Connection) -> None:
    """Make everything that is read through ``connection`` from now on be of this moment."""
    if connection.dialect.name == "postgresql":
        _without_limits(connection)
    connection.execute(select(literal_column("1")).select_from(table("projects")).limit(1))


def begin_writing(connection: Connection) -> bool:
    """Make this transaction the only copy into its database; False when there is another."""
    if connection.dialect.name != "postgresql":
        return True
    _without_limits(connection)
    return bool(connection.execute(text("SELECT pg_try_advisory_xact_lock(:lock)"), {"lock": _LOCK}).scalar())


def refresh_statistics(connection: Connection) -> None:
    """Let PostgreSQL know what came, so that the first questions after the copy are answered as fast as later ones."""
    if connection.dialect.name == "postgresql":
        connection.execute(text(f"ANALYZE {', '.join(PLAN)}"))


def others_connected(connection: Connection) -> bool:
    """Whether anybody else is connected to this PostgreSQL database."""
    others = text(
        "SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid() "
        "AND backend_type = 'client backend')"
    )
    return bool(connection.execute(others).scalar())


def _without_limits(connection: Connection) -> None:
    """A large project takes longer than any request may: sorting its rows, and waiting for the other database."""
    for limit in ("statement_timeout", "idle_in_transaction_session_timeout"):
        connection.execute(text(f"SET LOCAL {limit} = 0"))


_LOCK = 7_205_759_403_792_796
