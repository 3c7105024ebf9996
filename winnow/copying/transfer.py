"""One project, from one database and storage to others: all of it, checked row by row, or nothing."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import select
from sqlalchemy.engine import Connection
from sqlalchemy.exc import DataError, IntegrityError
from sqlalchemy.orm import Session

from winnow import audit
from winnow.copying.carrier import Carrier, CopyRefused
from winnow.copying.comparison import Difference, differences
from winnow.copying.files import CopiedFiles, FileCopy, missing_file, needed_files, not_there, sweep_unfinished
from winnow.copying.people import People, all_people, bring_people, has_accounts
from winnow.copying.plan import PLAN, carried, table
from winnow.copying.rows import (
    begin_snapshot,
    begin_writing,
    count_rows,
    ids_for,
    number_rows,
    referenced_people,
    refresh_statistics,
    rows_of,
    write_rows,
)
from winnow.db.base import utcnow
from winnow.db.session import Database, connection_of
from winnow.storage import Storage

#: Told how much is done (0 to 1) and what is going on.
Report = Callable[[float, str], None]
MOST_NAMED = 20


@dataclass(frozen=True)
class ProjectRow:
    """A project that could be copied."""

    id: int
    name: str
    archived: bool


@dataclass
class CopiedProject:
    """What came: rows by table (each compared with its source), people and files."""

    name: str
    old: int
    id: int
    rows: dict[str, int] = field(default_factory=dict)
    people: People = field(default_factory=People)
    files: CopiedFiles = field(default_factory=CopiedFiles)
    canceled_jobs: int = 0


class CopyDiffers(CopyRefused):
    """What the target gave back was not what it was given; nothing was kept."""

    slug = "copy-differs"

    def __init__(self, found: list[Difference]) -> None:
        first = "; ".join(str(difference) for difference in found[:3])
        more = f" and {len(found) - 3} more" if len(found) > 3 else ""
        super().__init__(f"The target gives back other values than it was given, so nothing was kept: {first}{more}.")
        self.found = found


@contextmanager
def snapshot(source: Database) -> Iterator[Connection]:
    """The source as it is now, for as long as it takes: what others write there meanwhile is not seen."""
    engine = source.engine
    if engine.dialect.name == "postgresql":
        engine = engine.execution_options(isolation_level="REPEATABLE READ", postgresql_readonly=True)
    with engine.connect() as connection:
        begin_snapshot(connection)
        yield connection


def list_projects(source: Connection) -> list[ProjectRow]:
    """All projects at the source, the oldest first."""
    rows = table("projects")
    found = source.execute(select(rows.c.id, rows.c.name, rows.c.archived_at).order_by(rows.c.id))
    return [ProjectRow(row.id, row.name, row.archived_at is not None) for row in found]


def _identities(connection: Connection) -> set[tuple[int, str]]:
    """Which projects there are, and under which numbers: ``order_key`` is a project's own, wherever it goes."""
    rows = table("projects")
    return {(row.id, row.order_key) for row in connection.execute(select(rows.c.id, rows.c.order_key))}


@dataclass
class Transfer:
    """Copies projects from ``source`` (a :func:`snapshot`) to ``target``, and their files along.

    ``everybody`` brings all accounts, also those who appear in no project. ``again`` copies what has been copied
    before. Where there was no project at the target when :meth:`prepare` looked, or only ones that came from here with
    their ids, ids stay what they are: pages that are open, addresses and files that name them remain right. A project
    whose number another one had before it was purged gets new ones. Where nobody had an account, owners and admins stay
    what they are.
    """

    source: Connection
    target: Database
    source_storage: Storage
    target_storage: Storage
    everybody: bool = False
    again: bool = False
    report: Report = lambda _fraction, _message: None
    keep_roles: bool = field(default=False, init=False)
    keep_ids: bool = field(default=False, init=False)

    def prepare(self, project_ids: Sequence[int]) -> None:
        """Look, before anything is copied, whether all of these can be, with their files.

        Raises:
            CopyRefused: one cannot.
        """
        with self.target.read() as session:
            connection = connection_of(session)
            self.keep_roles = not has_accounts(connection)
            self.keep_ids = _identities(connection) <= _identities(self.source)
            for project_id in project_ids:
                row = self._checked(connection, project_id)
                needed = needed_files(self.source, project_id, self._superfluous_jobs(project_id))
                path = missing_file(self.source_storage, project_id, needed)
                if path is not None:
                    raise CopyRefused(f"Of the project {row['name']!r}: {not_there(path).detail}")

    def copy(self, project_id: int) -> CopiedProject:
        """Copy one project, in one transaction of the target that commits once everything was read back and compared.

        Raises:
            CopyRefused: it cannot be, or it came to be another; the target is as it was.
        """
        committing = False
        files: FileCopy | None = None
        try:
            with self.target.write() as session:
                connection = connection_of(session)
                if not begin_writing(connection):
                    raise CopyRefused("Another copy into this database is under way: wait until it has finished.")
                sweep_unfinished(connection, self.target_storage)
                row = self._checked(connection, project_id)
                copied, carrier = self._begin(connection, row)
                self._rows(connection, carrier, copied)
                files = FileCopy(self.source_storage, self.target_storage, carrier)
                self._files(files, carrier)
                copied.files = files.copied
                self._end(session, copied)
                committing = True
        except BaseException:
            # Whether a commit that was cut off is durable, nobody knows: the next copy finds out, and clears away.
            if files is not None and not committing:
                files.discard()
            raise
        with suppress(Exception):  # it is there; the next copy forgets the mark
            files.finish()
        return copied

    def _checked(self, target: Connection, project_id: int) -> dict[str, Any]:
        row = next(rows_of(self.source, "projects", project_id))
        jobs, projects = table("jobs"), table("projects")
        purged = select(jobs.c.id).where(
            jobs.c.project_id == project_id, jobs.c.kind == "purge", jobs.c.state.in_(("queued", "running"))
        )
        if self.source.execute(purged).first() is not None:
            raise CopyRefused(f"The project {row['name']!r} is being purged: there is no whole of it left to copy.")
        there = target.execute(select(projects.c.id).where(projects.c.order_key == row["order_key"])).scalars().first()
        if there is not None and not self.again:
            raise CopyRefused(
                f"The project {row['name']!r} is at the target already, as {there}: it was copied before, or it came "
                "from there. --again makes another one of it."
            )
        return row

    def _begin(self, target: Connection, row: dict[str, Any]) -> tuple[CopiedProject, Carrier]:
        """Accounts and ids: everything that rows point to."""
        old = row["id"]
        wanted = all_people(self.source) if self.everybody else referenced_people(self.source, old)
        people = bring_people(self.source, target, wanted, keep_roles=self.keep_roles)
        (project,) = ids_for(target, "projects", [old], keep=self.keep_ids)
        superfluous = self._superfluous_jobs(old)
        carrier = Carrier(old, project, people.ids, superfluous, utcnow())
        # Without the project's own number nothing that names its rows remains right.
        carrier.ids = number_rows(self.source, target, old, keep=project == old and self.keep_ids)
        return CopiedProject(row["name"], old, project, people=people, canceled_jobs=len(superfluous)), carrier

    def _superfluous_jobs(self, project_id: int) -> frozenset[int]:
        jobs = table("jobs")
        active = self.source.execute(
            select(jobs.c.id, jobs.c.kind, jobs.c.state).where(
                jobs.c.project_id == project_id,
                jobs.c.kind.in_(("round", "encode")),
                jobs.c.state.in_(("queued", "running")),
            )
        ).all()
        waiting = {job.kind for job in active if job.state == "queued"}
        running = {job.kind: job.id for job in active if job.state == "running" and job.kind not in waiting}
        return frozenset(job.id for job in active if job.state == "running" and running.get(job.kind) != job.id)

    def _rows(self, target: Connection, carrier: Carrier, copied: CopiedProject) -> None:
        counts = {name: count_rows(self.source, name, carrier.old) for name in PLAN}
        total, done = 2 * sum(counts.values()), 0
        for name in PLAN:
            try:
                for chunk in write_rows(target, carrier, name, rows_of(self.source, name, carrier.old)):
                    done += chunk
                    self.report(done / total, f"copying {copied.name}")
            except (DataError, IntegrityError) as error:
                said = str(error.orig).splitlines()[0]
                raise CopyRefused(f"The target refuses a row of {name} ({said}); nothing was copied.") from error
        found: list[Difference] = []
        for name in PLAN:
            self.report(done / total, f"comparing {copied.name}")
            found += self._compare(target, carrier, name)[: MOST_NAMED - len(found)]
            done += counts[name]
            copied.rows[name] = counts[name]
        found += self._compare_people(target, copied.people)
        if found:
            raise CopyDiffers(found)

    def _compare(self, target: Connection, carrier: Carrier, name: str) -> list[Difference]:
        wanted: Any = (carried(carrier, name, row) for row in rows_of(self.source, name, carrier.old))
        if name == "members":  # the only ones whose order the new ids change
            wanted = sorted(wanted, key=lambda row: row["user_id"])
        found = []
        for difference in differences(table(name), wanted, rows_of(target, name, carrier.project)):
            found.append(difference)
            if len(found) == MOST_NAMED:
                break
        return found

    def _compare_people(self, target: Connection, people: People) -> list[Difference]:
        users = table("users")
        wanted = [people.rows[new_id] for new_id in sorted(people.rows)]
        found = [
            dict(row._mapping)
            for row in target.execute(select(*users.c).where(users.c.id.in_(people.rows)).order_by(users.c.id))
        ]
        return list(differences(users, wanted, found))

    def _files(self, files: FileCopy, carrier: Carrier) -> None:
        needed = list(needed_files(self.source, carrier.old, carrier.superfluous))
        if not needed:
            return
        files.begin()
        for place, one in enumerate(needed):
            self.report(place / len(needed), "copying files")
            files.copy(one)

    def _end(self, session: Session, copied: CopiedProject) -> None:
        audit.record(
            session,
            "project.copy",
            user_id=None,
            project_id=copied.id,
            came_as=str(copied.old),
            rows=sum(copied.rows.values()),
            by="command line",
        )
        session.flush()
        refresh_statistics(connection_of(session))
