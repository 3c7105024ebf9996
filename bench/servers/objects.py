"""A private object store that speaks S3."""

from __future__ import annotations

import importlib.util
import secrets
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.servers.process import PrivateServer, ServerMissing


class ObjectStore(PrivateServer):
    """moto's server. What it holds is gone when it ends.

    ``environment`` is what a program needs to find it and to be let in.
    """

    name = "S3"

    def __init__(self, folder: Path | None = None) -> None:
        super().__init__(folder)
        self._secret = secrets.token_hex(8)

    @property
    def url(self) -> str:
        """The endpoint."""
        return f"http://127.0.0.1:{self.port}"

    @property
    def environment(self) -> Mapping[str, str]:
        """Endpoint, keys and region, as the AWS libraries read them."""
        return object_store_environment(self.url, self._secret)

    def make_bucket(self, name: str = "winnow") -> str:
        """Make a bucket of a new name and give its URL."""
        return make_bucket(self.environment, name)

    def _command(self) -> Sequence[str]:
        if importlib.util.find_spec("moto") is None or importlib.util.find_spec("flask") is None:
            raise ServerMissing("moto is not installed (pip install 'moto[server]')")
        return [sys.executable, "-W", "ignore", "-m", "moto.server", "-H", "127.0.0.1", "-p", str(self.port)]


def object_store_environment(endpoint: str, secret: str = "") -> Mapping[str, str]:
    """What leads a program to the object store at ``endpoint``."""
    return {
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_ACCESS_KEY_ID": "winnow",
        "AWS_SECRET_ACCESS_KEY": secret or "winnow",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_EC2_METADATA_DISABLED": "true",
    }


def make_bucket(environment: Mapping[str, str], name: str) -> str:
    """Make a bucket whose name begins with ``name`` and give its URL."""
    from botocore.session import Session

    made = f"{name}-{secrets.token_hex(4)}"
    client = Session().create_client(
        "s3",
        region_name=environment["AWS_DEFAULT_REGION"],
        endpoint_url=environment["AWS_ENDPOINT_URL"],
        aws_access_key_id=environment["AWS_ACCESS_KEY_ID"],
        aws_secret_access_key=environment["AWS_SECRET_ACCESS_KEY"],
    )
    client.create_bucket(Bucket=made)
    client.close()
    return f"s3://{made}"
