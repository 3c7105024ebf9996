"""Where a copy comes from and goes to, and what has to be so before it may begin."""

from __future__ import annotations

import fcntl
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from cli.console import Progress, say
from cli.errors import CommandError, line_of
from winnow.db.server import explained, shown, sqlite_file
from winnow.settings import Settings

if TYPE_CHECKING:
    from winnow.copying.transfer import CopiedProject, ProjectRow, Transfer
    from winnow.db.session import Database


@dataclass(frozen=True)
class Places:
    """Both databases and both storages, by their URLs."""

    settings: Settings
    source: str
    target: str
    source_storage: str
    target_storage: str

    @classmethod
    def resolve(
        cls, settings: Settings, source: str, target: str, source_storage: str | None, target_storage: str | None
    ) -> Places:
        """Fill in where the files are; raises CommandError where that cannot be known, or the source is not there."""
        file = sqlite_file(source)
        if file is not None and not file.is_file():
            raise CommandError(f"there is no database {file}: correct FROM-URL")
        if _same(source, target):
            raise CommandError("FROM-URL and TO-URL are one database: a copy goes to another one")
        return cls(
            settings,
            source,
            target,
            source_storage or _storage_of(settings, source, "--from-storage"),
            target_storage or _storage_of(settings, target, "--to-storage"),
        )


def _storage_of(settings: Settings, url: str, option: str) -> str:
    """The storage that belongs to a database: the settings' for theirs, else the folder beside a SQLite file."""
    if _same(url, settings.resolved_database_url):
        return settings.resolved_storage_url
    file = sqlite_file(url)
    if file is not None:
        return (file.absolute().parent / "storage").as_uri()
    raise CommandError(
        f"where are the files of {shown(url)}? Give {option} URL (or set WINNOW_DATABASE_URL and WINNOW_STORAGE_URL as "
        "its server has them)"
    )


def _same(one: str, other: str) -> bool:
    from sqlalchemy.engine import make_url

    files = sqlite_file(one), sqlite_file(other)
    if files[0] is not None and files[1] is not None:
        return files[0].resolve() == files[1].resolve()
    with explained(one), explained(other):
        first, second = (make_url(url) for url in (one, other))
        return (first.host, first.port or 5432, first.database, first.get_backend_name()) == (
            second.host,
            second.port or 5432,
            second.database,
            second.get_backend_name(),
        )


def copy_projects(
    places: Places, wanted: Sequence[str] | None, *, everything: bool, again: bool, bar: Progress
) -> dict[str, Any]:
    """Copy what is ``wanted`` (ids or names), each project in a transaction of its own; gives what is to be printed."""
    _check_schemas(places)
    from winnow.copying.files import check_apart
    from winnow.copying.transfer import Transfer, list_projects, snapshot
    from winnow.storage import Storage

    cache, cache_bytes = places.settings.cache_folder, places.settings.cache_bytes
    from_storage = Storage(places.source_storage, cache, cache_bytes)
    to_storage = Storage(places.target_storage, cache, cache_bytes)
    check_apart(from_storage, to_storage)
    with _opened(places.source) as source, _opened(places.target) as target:
        warnings = _warnings(places, source, target)
        for warning in warnings:
            say(f"winnow: {warning}")
        with snapshot(source) as seen:
            transfer = Transfer(
                seen, target, from_storage, to_storage, everybody=everything, again=again, report=bar.update
            )
            chosen = _chosen(list_projects(seen), wanted)
            transfer.prepare([project.id for project in chosen])
            copied = _copied(transfer, chosen, places.target)
    bar.close()
    for note in (notes := [note for project in copied for note in _notes(project)]):
        say(f"winnow: {note}")
    return {
        "from": shown(places.source),
        "to": shown(places.target),
        "ok": True,
        "projects": [_as_json(project) for project in copied],
        "warnings": warnings + notes,
    }


def _copied(transfer: Transfer, chosen: Sequence[ProjectRow], target: str) -> list[CopiedProject]:
    """Copy one after the other; raises CommandError that says which came, and how to get the rest."""
    copied: list[CopiedProject] = []
    for project in chosen:
        try:
            with explained(target):
                copied.append(transfer.copy(project.id))
        except (Exception, KeyboardInterrupt) as error:
            if len(chosen) == 1:
                raise
            came = ", ".join(f"{done.old} ({done.name})" for done in copied)
            rest = " ".join(f"--project {left.id}" for left in chosen[len(copied) :])
            said = f"copied: {came}; for the rest: {rest}" if copied else "nothing was copied"
            raise CommandError(f"project {project.id} ({project.name}): {line_of(error)} ({said})") from error
    return copied


@contextmanager
def _opened(url: str) -> Iterator[Database]:
    from winnow.db.session import Database

    with explained(url):
        database = Database(url, pool_size=2)
        try:
            yield database
        finally:
            database.dispose()


def _check_schemas(places: Places) -> None:
    """Make the tables of an empty target; refuse two databases that are not both at the newest schema."""
    from migrations.runner import HEAD, current, upgrade

    found = current(places.source)
    if found != HEAD:
        raise CommandError(
            f"{shown(places.source)} is at schema {found or 'nothing'}, {HEAD} is needed: "
            "run 'winnow migrate' with WINNOW_DATABASE_URL set to it"
        )
    file = sqlite_file(places.target)
    if file is not None:
        file.absolute().parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    found = current(places.target)
    if found is None:
        upgrade(places.target)
    elif found != HEAD:
        raise CommandError(
            f"{shown(places.target)} is at schema {found}, {HEAD} is needed: "
            "run 'winnow migrate' with WINNOW_DATABASE_URL set to it"
        )


def _chosen(projects: Sequence[ProjectRow], wanted: Sequence[str] | None) -> list[ProjectRow]:
    """The projects with these ids or, where there is exactly one, names; all of them for None."""
    if wanted is None:
        return list(projects)
    return list({project.id: project for project in (_one(projects, name) for name in wanted)}.values())


def _one(projects: Sequence[ProjectRow], name_or_id: str) -> ProjectRow:
    for project in projects:
        if str(project.id) == name_or_id:
            return project
    named = [project for project in projects if project.name == name_or_id]
    if len(named) == 1:
        return named[0]
    if named:
        ids = ", ".join(str(project.id) for project in named)
        raise CommandError(f"{len(named)} projects are called {name_or_id!r}: give the id ({ids})")
    known = ", ".join(f"{project.id} ({project.name})" for project in projects[:5]) or "none"
    raise CommandError(f"no project {name_or_id!r} in the source: there are {known}")


def _warnings(places: Places, source: Database, target: Database) -> list[str]:
    warnings = []
    if _in_use(places.source, source):
        warnings.append(
            "the source is in use: the copy is of this moment, and what is labelled there from now on is not in it"
        )
    if sqlite_file(places.target) is not None and _in_use(places.target, target):
        warnings.append("the target is in use: nothing can be labelled there until the copy has ended")
    return warnings


def _in_use(url: str, database: Database) -> bool:
    """Whether a server runs on the folder of a SQLite file, or anybody else is connected to a PostgreSQL database."""
    file = sqlite_file(url)
    if file is None:
        from winnow.copying.rows import others_connected

        with database.engine.connect() as connection:
            return others_connected(connection)
    with suppress(FileNotFoundError), (file.absolute().parent / "serve.lock").open("rb") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
        except BlockingIOError:
            return True
    return False


def _notes(copied: CopiedProject) -> list[str]:
    """What whoever copied should know now."""
    notes = []
    if copied.people.lowered:
        names = ", ".join(copied.people.lowered)
        notes.append(f"{names}: owner or admin at the source, a plain member at the target")
    if copied.canceled_jobs:
        notes.append(f"{copied.name}: a job that ran while another of its kind waited was copied as canceled")
    return notes


def _as_json(copied: CopiedProject) -> dict[str, Any]:
    return {
        "name": copied.name,
        "from_id": str(copied.old),
        "id": str(copied.id),
        "tables": {name: {"copied": count, "equal": count} for name, count in copied.rows.items()},
        "people": {"matched": copied.people.matched, "made": copied.people.made},
        "files": {"copied": copied.files.n, "bytes": copied.files.bytes},
    }
