"""Opening a file system that is not a folder, and saying plainly what is wrong with it."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.util import find_spec
from typing import Any
from urllib.parse import urlsplit, urlunsplit

import fsspec
import structlog
from fsspec.config import conf

from winnow.errors import Misconfigured, StorageUnavailable

log = structlog.get_logger(__name__)

#: Protocols of object stores, each with the extra that brings it and the package that this installs.
EXTRAS = {
    "s3": ("s3", "s3fs"),
    "s3a": ("s3", "s3fs"),
    "gs": ("gcs", "gcsfs"),
    "gcs": ("gcs", "gcsfs"),
    "az": ("azure", "adlfs"),
    "abfs": ("azure", "adlfs"),
    "abfss": ("azure", "adlfs"),
}
_PIECE_BYTES = 8 << 20
_PIECES_AT_ONCE = 2
#: What another process wrote is seen at once: nothing is remembered of listings. A large file goes in a few pieces, so
#: that memory stays flat. A server that does not answer is given up after seconds, not minutes.
_OPTIONS: dict[str, dict[str, Any]] = {
    "s3": {
        "use_listings_cache": False,
        "default_block_size": _PIECE_BYTES,
        "max_concurrency": _PIECES_AT_ONCE,
        "config_kwargs": {
            "connect_timeout": 5,
            "read_timeout": 20,
            "retries": {"mode": "standard", "total_max_attempts": 3},
        },
    },
    "gcs": {"use_listings_cache": False},
    "azure": {"use_listings_cache": False},
}
_TRIES = 2
_REFUSALS = ("NoCredentials", "PartialCredentials", "CredentialRetrieval")
_UPLOAD = {"s3": {"chunksize": _PIECE_BYTES, "max_concurrency": _PIECES_AT_ONCE}}


def protocol_of(url: str) -> str:
    """The part before ``://``; ``file`` where there is none."""
    return url.partition("://")[0].lower() if "://" in url else "file"


def shown(url: str) -> str:
    """The URL without a password and without parameters, to be shown and logged."""
    if "://" not in url:
        return url
    parts = urlsplit(url)
    user, at, place = parts.netloc.rpartition("@")
    name, colon, _ = user.partition(":")
    return urlunsplit((parts.scheme, f"{name}{':***' if colon else ''}{at}{place}", parts.path, "", ""))


def require(url: str) -> None:
    """Look whether a storage URL can be used at all, without importing what speaks to it.

    Raises:
        Misconfigured: its extra is not installed, there is no such protocol, or it holds a secret.
    """
    protocol = protocol_of(url)
    if protocol in EXTRAS:
        extra, package = EXTRAS[protocol]
        if find_spec(package) is None:
            raise Misconfigured(
                f"WINNOW_STORAGE_URL begins with {protocol}://, which needs the extra '{extra}': "
                f"pip install -e '.[{extra}]' (it brings {package})."
            )
        if ":" in urlsplit(url).netloc.rpartition("@")[0]:
            raise Misconfigured(
                f"WINNOW_STORAGE_URL ({shown(url)}) holds a key. Give keys by the environment "
                "(for S3: AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY), and only the bucket and a prefix in the URL."
            )
    if protocol != "file" and any(letter in url.partition("://")[2].partition("/")[2] for letter in "*[]"):
        raise Misconfigured("The prefix in WINNOW_STORAGE_URL must not contain *, [ or ]: they stand for other names.")
    if protocol not in EXTRAS and protocol not in fsspec.available_protocols():
        raise Misconfigured(f"WINNOW_STORAGE_URL begins with {protocol}://, which is not known; use file:// or s3://.")


def open_remote(url: str) -> tuple[Any, str]:
    """The file system of a URL, for this process (connections do not survive a fork), and the root in it.

    What ``FSSPEC_…`` variables or fsspec's configuration files set goes before our options.
    """
    require(url)
    protocol = protocol_of(url)
    family = EXTRAS.get(protocol, (protocol, ""))[0]
    given: dict[str, Any] = {**conf.get(protocol, {}), **(conf.get("s3", {}) if family == "s3" else {})}
    options = {name: value for name, value in _OPTIONS.get(family, {}).items() if name not in given}
    try:
        fs, root = fsspec.core.url_to_fs(url, skip_instance_cache=True, **options)
    except ImportError as error:
        raise Misconfigured(f"WINNOW_STORAGE_URL ({shown(url)}) cannot be used: {error}") from error
    if family == "s3":
        fs.retries = _TRIES  # on top of those of the client below it
    return fs, str(root).rstrip("/")


def upload_options(url: str) -> dict[str, Any]:
    """How a file is sent so that memory stays flat."""
    return _UPLOAD.get(EXTRAS.get(protocol_of(url), ("", ""))[0], {})


@contextmanager
def asking(url: str, path: str) -> Iterator[None]:
    """Around one call: FileNotFoundError for a missing file, and StorageUnavailable for all else that goes wrong."""
    try:
        yield
    except FileNotFoundError as error:
        if _code(error) == "NoSuchBucket":
            raise _unavailable(url, "is not there: make the bucket first", error, lasting=True) from error
        raise FileNotFoundError(path) from error
    except Exception as error:
        if isinstance(error, PermissionError) or type(error).__name__.startswith(_REFUSALS):
            raise _unavailable(url, "refuses access", error, lasting=True) from error
        if type(error).__name__ == "ParamValidationError":  # the name of the bucket is none
            raise _unavailable(url, "cannot be used", error, lasting=True) from error
        raise _unavailable(url, "does not answer", error) from error


def _unavailable(url: str, what: str, error: BaseException, *, lasting: bool = False) -> StorageUnavailable:
    said = " ".join(f"{type(error).__name__}: {error}".split())[:300]
    password = urlsplit(url).password
    if password:
        said = said.replace(password, "***")
    log.warning("storage.unavailable", url=shown(url), error=said)
    return StorageUnavailable(f"The storage at {shown(url)} {what} ({said}).", lasting=lasting)


def _code(error: BaseException) -> str | None:
    """The word of an S3 server for what is wrong."""
    answer = getattr(error.__cause__, "response", None)
    return answer.get("Error", {}).get("Code") if isinstance(answer, dict) else None
