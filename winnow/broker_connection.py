"""How Redis and RabbitMQ are spoken to: time limits on everything, certificates that are checked, passwords unseen."""

from __future__ import annotations

import re
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, urlencode, urlsplit, urlunsplit

import structlog

from winnow.errors import Misconfigured

if TYPE_CHECKING:
    from kombu.connection import Connection

log = structlog.get_logger(__name__)

#: An answer that takes longer than this does not come.
PATIENCE_SECONDS = 3.0
#: Messages that were taken and not acknowledged go to another worker after this long (Redis; RabbitMQ sees it at once).
VISIBILITY_SECONDS = 1_800
_TLS_OPTIONS = ("ssl_ca_certs", "ssl_cert_reqs")
_REQUIREMENTS = {"required": ssl.CERT_REQUIRED, "optional": ssl.CERT_OPTIONAL, "none": ssl.CERT_NONE}


@dataclass(frozen=True)
class BrokerOptions:
    """What Celery and kombu are told about the broker of a URL."""

    url: str
    transport: dict[str, Any] = field(default_factory=dict)
    tls: dict[str, Any] | None = None


def broker_options(url: str, *, patience: float = PATIENCE_SECONDS) -> BrokerOptions:
    """The options for ``url``; whoever has to wait for the broker gives up after ``patience`` seconds.

    With ``rediss`` and ``amqps`` certificates are checked against those that the system trusts, or against
    ``?ssl_ca_certs=FILE``; ``?ssl_cert_reqs=none`` trusts anybody.
    """
    scheme = url.partition("://")[0]
    if scheme in ("redis", "rediss"):
        transport: dict[str, Any] = {
            "queue_order_strategy": "priority",  # the queue of rounds first
            "socket_timeout": patience,
            "socket_connect_timeout": patience,
            "socket_keepalive": True,
            "health_check_interval": 10,
            "visibility_timeout": VISIBILITY_SECONDS,
            "client_name": "winnow",
        }
    elif scheme in ("amqp", "amqps", "pyamqp"):
        transport = {
            "read_timeout": patience,
            "write_timeout": patience,
            "client_properties": {"connection_name": "winnow"},
        }
    else:
        return BrokerOptions(url)
    plain, tls = _tls(url) if scheme in ("rediss", "amqps") else (url, None)
    return BrokerOptions(plain, transport, tls)


def _tls(url: str) -> tuple[str, dict[str, Any]]:
    parts = urlsplit(url)
    query = dict(parse_qsl(parts.query))
    authorities = query.pop("ssl_ca_certs", None)
    wanted = query.pop("ssl_cert_reqs", "required").lower().removeprefix("cert_")
    if wanted not in _REQUIREMENTS:
        raise Misconfigured(f"WINNOW_BROKER_URL: ssl_cert_reqs is one of {', '.join(_REQUIREMENTS)}.")
    required = _REQUIREMENTS[wanted]
    checked = required != ssl.CERT_NONE
    if parts.scheme == "rediss":
        tls: dict[str, Any] = {"ssl_cert_reqs": required, "ssl_check_hostname": checked, "ssl_ca_certs": authorities}
    else:
        tls = {"cert_reqs": required, "ca_certs": authorities, "server_hostname": parts.hostname if checked else None}
        if not checked:
            del tls["server_hostname"]
    return urlunsplit(parts._replace(query=urlencode(query))), tls


def shown(url: str) -> str:
    """``url`` without its password, for people and logs.

    >>> shown("amqp://ann:se:c@ret@host/blue")
    'amqp://ann:**@host/blue'
    """
    return re.sub(r"(://[^:/@]*):.*@", r"\1:**@", url)


@contextmanager
def connected(url: str, *, patience: float = PATIENCE_SECONDS) -> Iterator[Connection]:
    """A connection to the broker, for one purpose; raises what kombu, redis and amqp raise when there is none."""
    from kombu.connection import Connection

    options = broker_options(url, patience=patience)
    link = Connection(  # type: ignore[no-untyped-call]
        options.url,
        connect_timeout=patience,
        transport_options=options.transport,
        ssl=options.tls or False,
        heartbeat=0,
    )
    broken = True
    try:
        connect(link)
        yield link
        broken = False
    finally:
        hang_up(link, broken=broken)


def connect(link: Connection) -> None:
    """Connect now, trying once; raises when that fails."""
    link.ensure_connection(max_retries=0, reraise_as_library_errors=False)  # type: ignore[no-untyped-call]


def complaint(url: str, error: BaseException) -> str:
    """Why the broker at ``url`` cannot be used, without the password."""
    if isinstance(error, ValueError):  # it would quote what it took for a port, which may be part of a password
        return "WINNOW_BROKER_URL is not a URL: special characters of user and password are written as %XX."
    reason = " ".join(f"{error}".split()) or type(error).__name__
    return f"The broker {shown(url)} cannot be used: {reason}"


def hang_up(link: Connection, *, broken: bool) -> None:
    """Let go of a connection; nobody's goodbye is waited for where it is ``broken``. Never raises."""
    try:
        if broken and link.transport.driver_type == "amqp":
            link.collect()  # type: ignore[no-untyped-call]
        else:
            link.release()  # type: ignore[no-untyped-call]
    except Exception as error:  # it is of no use any more, whatever it says
        log.debug("broker.hung_up", error=str(error))


def introduction(url: str, *, patience: float = PATIENCE_SECONDS) -> tuple[str, float]:
    """Who answers at ``url`` once signed in ("RabbitMQ 3.10.8"), and how many seconds an exchange with it takes."""
    with connected(url, patience=patience) as link:
        if link.transport.driver_type == "redis":
            client = link.default_channel.client  # type: ignore[attr-defined]
            name = f"Redis {client.info('server')['redis_version']}"
            began = time.perf_counter()
            client.ping()
        else:
            properties = getattr(link.connection, "server_properties", {})
            name = f"{properties.get('product', link.transport.driver_type)} {properties.get('version', '')}".strip()
            began = time.perf_counter()
            link.channel().close()  # type: ignore[no-untyped-call]
        return name, time.perf_counter() - began
