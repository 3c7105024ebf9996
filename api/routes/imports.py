"""Imports: a file in, a job out."""

from __future__ import annotations

import json
from pathlib import PurePath
from typing import Annotated, Any, BinaryIO

from fastapi import APIRouter, Depends, Request
from fastapi.concurrency import run_in_threadpool
from starlette.datastructures import FormData, UploadFile

from api.deps import Caller, DatabaseDep, StorageDep, project_caller
from api.schemas.job import JobOut
from winnow import jobs, leftovers
from winnow.db.outage import outage_of
from winnow.db.session import Database
from winnow.db.tables import Project
from winnow.errors import FieldError, Invalid, NotYet
from winnow.importing.formats import FORMATS, check_format
from winnow.intake import CONTENT_OF_TASK, FIELDS
from winnow.names import is_storable
from winnow.permissions import Permission
from winnow.storage import Storage

router = APIRouter(prefix="/projects/{p}/imports", tags=["items"])
Writer = Annotated[Caller, Depends(project_caller(Permission.ITEMS_WRITE))]

_COPY_BYTES = 1 << 20
_BY_ADDRESS = "Importing by address comes in a later version. Upload the file as multipart/form-data."
_FIELDS = ("format", "mapping", "labels", "on_duplicate")
_CHOICES = {"labels": ("use", "ignore"), "on_duplicate": ("skip", "update", "merge_labels")}
_BODY = {
    "required": True,
    "content": {
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["file"],
                "properties": {
                    "file": {"type": "string", "format": "binary"},
                    "format": {"type": "string", "description": ", ".join(FORMATS) + "; else by the name."},
                    "mapping": {
                        "type": "string",
                        "description": 'A JSON object from our fields to columns: {"text": "body"}.',
                    },
                    "labels": {"type": "string", "enum": list(_CHOICES["labels"]), "default": "use"},
                    "on_duplicate": {"type": "string", "enum": list(_CHOICES["on_duplicate"]), "default": "skip"},
                },
            }
        }
    },
}


@router.post(
    "",
    status_code=202,
    openapi_extra={"requestBody": _BODY},
    responses={
        501: {"description": "A format, or an address instead of a file: a later version brings it."},
        503: {"description": "The storage does not answer."},
    },
)
async def import_file(request: Request, caller: Writer, database: DatabaseDep, storage: StorageDep) -> JobOut:
    """Upload a file whose rows become items. The answer is a job; its result counts what became of the rows."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "application/json":
        raise NotYet(_BY_ADDRESS)
    if kind not in ("multipart/form-data", "application/x-www-form-urlencoded"):
        raise Invalid("Send multipart/form-data with the file in the field 'file'.")
    async with request.form(max_files=1, max_fields=len(_FIELDS), max_part_size=1 << 16) as form:
        upload = form.get("file")
        if upload is None and "url" in form:
            raise NotYet(_BY_ADDRESS)
        if not isinstance(upload, UploadFile):
            raise Invalid.field("file", "is missing; send the file under this name")
        payload = _options(form)
        payload["filename"] = _filename(upload)
        payload["path"] = leftovers.upload_path(caller.project_id)
        payload["bytes"] = await run_in_threadpool(_store, upload.file, storage, payload["path"])
    return await run_in_threadpool(_ask, caller, database, storage, payload)


def _filename(upload: UploadFile) -> str:
    """The name that an uploaded file had, without a path; only its suffix is ever looked at."""
    name = PurePath((upload.filename or "").replace("\\", "/")).name[:255]
    return "".join(character for character in name if is_storable(character))


def _options(form: FormData) -> dict[str, Any]:
    """The optional fields, checked."""
    unknown = sorted(set(form) - {"file", *_FIELDS})
    if unknown:
        raise Invalid.field(unknown[0][:100], f"is no field of an import; there are file, {', '.join(_FIELDS)}")
    given = {name: value for name in _FIELDS if isinstance(value := form.get(name), str) and value}
    for name, choices in _CHOICES.items():
        if name in given and given[name] not in choices:
            raise Invalid.field(name, f"must be one of {', '.join(choices)}")
    options: dict[str, Any] = {"labels": given.get("labels", "use"), "on_duplicate": given.get("on_duplicate", "skip")}
    if "format" in given:
        options["format"] = check_format(given["format"])
    if "mapping" in given:
        options["mapping"] = _mapping(given["mapping"])
    return options


def _mapping(given: str) -> dict[str, str]:
    try:
        mapping = json.loads(given)
    except (ValueError, RecursionError):
        raise Invalid.field("mapping", "must be a JSON object from our fields to columns") from None
    if not isinstance(mapping, dict) or not all(isinstance(column, str) for column in mapping.values()):
        raise Invalid.field("mapping", "must be a JSON object from our fields to columns")
    unknown = sorted(set(mapping) - set(FIELDS))
    if unknown:
        message = f"there is no field {unknown[0][:100]!r}; there are {', '.join(FIELDS)}"
        raise Invalid(f"mapping: {message}.", errors=[FieldError(("body", "mapping", unknown[0][:100]), message)])
    if not all(map(is_storable, mapping.values())):
        raise Invalid.field("mapping", "names a column with characters that no text holds")
    return mapping


def _store(file: BinaryIO, storage: Storage, path: str) -> int:
    """Copy the upload into the storage in blocks; returns its size."""
    size = 0
    file.seek(0)
    with storage.open(path, "wb") as target:
        while block := file.read(_COPY_BYTES):
            size += len(block)
            target.write(block)
    return size


def _ask(caller: Caller, database: Database, storage: Storage, payload: dict[str, Any]) -> JobOut:
    """Write the job; the upload goes again if that fails."""
    try:
        with database.write() as session:
            task = session.get_one(Project, caller.project_id).task
            if payload.get("mapping") and "text" in payload["mapping"] and CONTENT_OF_TASK[task] != "text":
                raise Invalid.field("mapping", f"names text, but the items of this project are of the task {task}")
            job = jobs.create_job(session, "import", caller.project_id, payload, caller.identity.user_id)
            caller.record(session, "items.import", job=str(job.id), filename=payload["filename"])
            return JobOut.of(job)
    except Exception as error:
        if outage_of(error) is None:  # else the job may be there after all; if it is not, the upload is swept away
            storage.delete(payload["path"])
        raise
