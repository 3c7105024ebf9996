"""Projects."""

from __future__ import annotations

from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query, Response

from api.deps import (
    Caller,
    Cursor,
    DatabaseDep,
    Limit,
    Me,
    SettingsDep,
    SignedIn,
    StorageDep,
    global_caller,
    page_start,
    project_caller,
)
from api.schemas.project import LabelClassIn, ProjectCreate, ProjectList, ProjectOut, ProjectUpdate
from winnow import projects
from winnow.classifiers import classifier_names
from winnow.permissions import Permission
from winnow.purge import purge_project

router = APIRouter(prefix="/projects", tags=["projects"])
Creator = Annotated[SignedIn, Depends(global_caller(Permission.PROJECT_CREATE))]
Reader = Annotated[Caller, Depends(project_caller(Permission.PROJECT_READ))]
Manager = Annotated[Caller, Depends(project_caller(Permission.PROJECT_MANAGE))]


def _classes(given: list[str | LabelClassIn]) -> list[str | dict[str, Any]]:
    return [entry if isinstance(entry, str) else entry.model_dump() for entry in given]


@router.post("", status_code=201)
def create_project(body: ProjectCreate, me: Creator, database: DatabaseDep, settings: SettingsDep) -> ProjectOut:
    """Make a project; whoever makes it manages it."""
    with database.write() as session:
        project = projects.create_project(
            session,
            me.identity,
            name=body.name,
            task=body.task,
            labels=_classes(body.labels),
            guidelines=body.guidelines or "",
            settings=body.settings,
            hub=settings.hf_encoders,
            teachers=classifier_names(settings.classifiers),
            llm=settings.llm_endpoints,
        )
        me.record(session, "project.create", project_id=project.id, name=project.name)
    return ProjectOut.of(project, "manager")


@router.get("")
def list_projects(me: Me, database: DatabaseDep, cursor: Cursor = None, limit: Limit = 50) -> ProjectList:
    """The projects that you may see, newest first; archived ones are left out."""
    before = page_start(cursor)
    with database.read() as session:
        found = projects.list_projects(session, me.identity, before=before, limit=limit + 1)
        page = [ProjectOut.of(entry.project, entry.role) for entry in found[:limit]]
    return ProjectList(data=page, next=page[-1].id if len(found) > limit else None)


@router.get("/{p}")
def get_project(caller: Reader, database: DatabaseDep) -> ProjectOut:
    """A project with its classes, its settings and how far it is."""
    with database.read() as session:
        found = projects.access(session, caller.identity, caller.project_id, Permission.PROJECT_READ)
        return ProjectOut.of(found.project, found.role)


@router.patch("/{p}")
def update_project(body: ProjectUpdate, caller: Manager, database: DatabaseDep, settings: SettingsDep) -> ProjectOut:
    """Change what is given. A class that has labels cannot go (409)."""
    with database.write() as session:
        project = projects.update_project(
            session,
            caller.project_id,
            name=body.name,
            labels=_classes(body.labels) if body.labels is not None else None,
            guidelines=body.guidelines,
            settings=body.settings,
            archived=body.archived,
            hub=settings.hf_encoders,
            teachers=classifier_names(settings.classifiers),
            llm=settings.llm_endpoints,
        )
        caller.record(session, "project.update", fields=sorted(body.model_fields_set))
        return ProjectOut.of(project, caller.role)


@router.delete(
    "/{p}",
    status_code=204,
    responses={503: {"description": "The storage does not answer; a purge goes on when asked again."}},
)
def delete_project(
    caller: Manager,
    database: DatabaseDep,
    storage: StorageDep,
    confirm: Annotated[str, Query(description="The project's name, to be sure.")],
    purge: Annotated[bool, Query(description="Delete it for good, now.")] = False,
) -> Response:
    """Archive a project: it is purged after 30 days, or at once with `purge=true`."""
    with database.write() as session:
        project = projects.archive_project(session, caller.project_id, confirm)
        caller.record(session, "project.purge" if purge else "project.archive", name=project.name)
    if purge:
        purge_project(database, storage, caller.project_id)
    return Response(status_code=204)
