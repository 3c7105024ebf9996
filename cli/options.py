"""Options that several commands share, and what they are turned into."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from cli.errors import CommandError

if TYPE_CHECKING:
    from client import Client, Project
    from winnow.settings import Settings

Data = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", help="Folder that holds everything. [default: WINNOW_DATA or ~/.winnow]"),
]
Url = Annotated[str | None, typer.Option("--url", help="The server. [default: WINNOW_URL or http://127.0.0.1:8000]")]
Token = Annotated[str | None, typer.Option("--token", help="An API token. [default: WINNOW_TOKEN]")]
Json = Annotated[bool, typer.Option("--json", help="Print one JSON object on stdout and nothing else.")]


def load_settings(**given: Any) -> Settings:
    """The settings from the environment, with what was ``given`` (and is not None) on top.

    Raises:
        CommandError: a setting has a value that it cannot have.
    """
    from pydantic import ValidationError
    from pydantic_settings import SettingsError

    from winnow.settings import Settings

    try:
        return Settings(**{name: value for name, value in given.items() if value is not None})
    except ValidationError as error:
        first = error.errors()[0]
        name, *inner = [str(part) for part in first["loc"]]
        where = ".".join([f"WINNOW_{name.upper()}", *inner])
        raise CommandError(f"{where}: {first['msg']} (see docs/settings.md)") from None
    except SettingsError as error:  # not even JSON, where it must be
        raise CommandError(f"WINNOW_{_setting_of(error).upper()}: it must be JSON (see docs/settings.md)") from None


def _setting_of(error: Exception) -> str:
    """The setting that pydantic-settings could not parse, which it names in quotes."""
    return next((part for part in str(error).split('"')[1:2]), "")


def connect(url: str | None, token: str | None) -> Client:
    """A client of the server that the options or the environment name.

    Raises:
        CommandError: no token was given.
    """
    from client import Client

    token = token or os.environ.get("WINNOW_TOKEN")
    if not token:
        raise CommandError("no token: give --token or WINNOW_TOKEN ('winnow token create EMAIL NAME' makes one)")
    return Client(url or os.environ.get("WINNOW_URL") or "http://127.0.0.1:8000", token)


def find_project(client: Client, name_or_id: str) -> Project:
    """The project with this id or, where there is exactly one, with this name.

    Raises:
        CommandError: none fits, or several have the name.
    """
    projects = list(client.iter_projects())
    for project in projects:
        if project.id == name_or_id:
            return project
    named = [project for project in projects if project.name == name_or_id]
    if len(named) == 1:
        return named[0]
    if named:
        raise CommandError(
            f"{len(named)} projects are called {name_or_id!r}: give the id ({', '.join(p.id for p in named)})"
        )
    known = ", ".join(f"{project.id} ({project.name})" for project in projects[:5]) or "none"
    raise CommandError(f"no project {name_or_id!r}: there are {known}")
