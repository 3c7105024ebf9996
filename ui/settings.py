"""What the UI process is told: read once from the environment, handed in."""

from __future__ import annotations

import json
import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

LOOPBACK = ("127.0.0.1", "localhost", "::1")


@dataclass(frozen=True)
class UiSettings:
    """Where the UI listens, whom it asks, and under which names browsers may call it.

    Attributes:
        host: address to bind to.
        port: port to bind to.
        api_url: the service that ``/v1`` is passed on to.
        entry_dir: folder of the one-time entries that ``winnow label`` leaves; None switches ``/enter`` off.
        public_hosts: further host names that browsers may use (behind a reverse proxy, or on a network).
    """

    host: str = "127.0.0.1"
    port: int = 8501
    api_url: str = "http://127.0.0.1:8000"
    entry_dir: Path | None = None
    public_hosts: tuple[str, ...] = ()

    @classmethod
    def from_environment(cls, environ: Mapping[str, str] | None = None) -> UiSettings:
        """Read ``WINNOW_UI_HOST``, ``…_UI_PORT``, ``…_API_URL``, ``…_ENTRY_DIR`` and ``…_PUBLIC_HOSTS``."""
        env = os.environ if environ is None else environ
        folder = env.get("WINNOW_ENTRY_DIR")
        return cls(
            host=env.get("WINNOW_UI_HOST", cls.host),
            port=int(env.get("WINNOW_UI_PORT", cls.port)),
            api_url=env.get("WINNOW_API_URL", cls.api_url).rstrip("/"),
            entry_dir=Path(folder) if folder else None,
            public_hosts=_names(env.get("WINNOW_PUBLIC_HOSTS", "")),
        )

    @property
    def cookie(self) -> str:
        """The session cookie's name. Browsers do not keep cookies apart by port, so the port is part of it."""
        return f"winnow_session_{self.port}"

    @property
    def allowed_hosts(self) -> frozenset[str]:
        """Every host name that a request may be addressed to, in lower case and without a port."""
        bound = () if self.host in {"0.0.0.0", "::", ""} else (self.host,)  # noqa: S104 - compared, not bound
        return frozenset(name.lower().strip("[]") for name in (*LOOPBACK, *bound, *self.public_hosts))


_current: UiSettings | None = None


def hand_in(settings: UiSettings) -> None:
    """Set what ``current`` gives: Streamlit runs the page script itself, so nothing can be passed to it."""
    global _current
    _current = settings


def current() -> UiSettings:
    """The settings of this process."""
    return _current if _current is not None else UiSettings.from_environment()


def _names(text: str) -> tuple[str, ...]:
    """A JSON list of names, or names parted by commas."""
    text = text.strip()
    if not text:
        return ()
    names = json.loads(text) if text.startswith("[") else text.split(",")
    return tuple(str(name).strip() for name in names if str(name).strip())
