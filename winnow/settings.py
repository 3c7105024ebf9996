"""Settings: one frozen object, read once from ``WINNOW_*`` in the environment, and handed in."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import Field
from pydantic_settings import BaseSettings, SettingsConfigDict

from winnow.classifiers import ClassifierEntries
from winnow.hub_encoders import HubEntries
from winnow.llm_endpoints import LlmEndpoints


class Settings(BaseSettings):
    """Everything that an operator can set. Each field is documented in docs/settings.md (a test says so)."""

    model_config = SettingsConfigDict(env_prefix="WINNOW_", frozen=True, extra="ignore", hide_input_in_errors=True)

    data: Path = Field(default_factory=lambda: Path.home() / ".winnow", description="Folder of the embedded defaults.")
    database_url: str | None = Field(None, description="SQLAlchemy URL; SQLite in the data folder when not set.")
    broker_url: str | None = Field(None, description="Celery broker URL; SQLite in the data folder when not set.")
    storage_url: str | None = Field(None, description="fsspec URL for artifacts and features; a folder when not set.")

    cache_bytes: int = Field(20 << 30, ge=0, description="Most bytes of local copies: of files, and of features.")

    environment: Literal["development", "production"] = Field("development", description="production: HSTS, no hints.")
    host: str = Field("127.0.0.1", description="Address that the API and the UI bind to.")
    port: int = Field(8000, description="Port of the API.")
    ui_port: int = Field(8501, description="Port of the UI.")
    public_hosts: tuple[str, ...] = Field((), description="Further host names that browsers may use (JSON list).")
    owner_email: str | None = Field(None, description="The owner made at the first start.")
    owner_password: str | None = Field(None, description="The owner's first password; generated when not set.")

    token_hours: float = Field(12.0, gt=0, description="Life of a token from /v1/auth/token, in hours.")
    max_body_bytes: int = Field(64 << 20, gt=0, description="Largest JSON body.")
    max_upload_bytes: int = Field(2 << 30, gt=0, description="Largest uploaded file.")
    max_text_chars: int = Field(100_000, gt=0, description="Longest text of an item, in characters.")
    max_image_bytes: int = Field(10 << 20, gt=0, description="Largest image, in bytes.")
    max_image_pixels: int = Field(40_000_000, gt=0, description="Largest image, in pixels.")
    max_feature_dim: int = Field(16_384, gt=0, description="Longest feature vector.")

    hf_encoders: HubEntries = Field(default_factory=dict, description="Encoders hf:NAME that projects may use (JSON).")
    cascade_encoder: Path | None = Field(None, description="Folder of `winnow compress` whose encoder cascades take.")
    hf_download: bool = Field(False, description="Whether workers may fetch them from the Hugging Face hub.")

    classifiers: ClassifierEntries = Field(
        default_factory=dict, description="Classifiers sklearn:NAME that projects may use as teachers (JSON)."
    )
    llm_endpoints: LlmEndpoints = Field(
        default_factory=dict, description="Language models llm:NAME that projects may ask (JSON); none, no network."
    )

    job_lease_seconds: float = Field(10.0, gt=0, description="A job whose heartbeat is older than this is taken over.")
    heartbeat_seconds: float = Field(2.0, gt=0, description="How often a running job says that it lives.")
    reaper_seconds: float = Field(1.0, gt=0, description="How often work without a live lease is looked for.")
    max_attempts: int = Field(5, gt=0, description="A job that died this often is failed, with its reason.")

    watts_per_core: float = Field(10.0, gt=0, description="Watts of one busy core, for the energy estimate.")
    grams_co2e_per_kwh: float = Field(400.0, ge=0, description="Carbon intensity for the gCO2e estimate.")

    @property
    def resolved_database_url(self) -> str:
        """The database URL with the embedded default filled in."""
        return self.database_url or f"sqlite:///{self.data.absolute() / 'winnow.db'}"

    @property
    def resolved_broker_url(self) -> str:
        """The broker URL with the embedded default filled in."""
        return self.broker_url or f"sqla+sqlite:///{self.data.absolute() / 'broker.db'}"

    @property
    def resolved_storage_url(self) -> str:
        """The storage URL with the embedded default filled in."""
        return self.storage_url or (self.data.absolute() / "storage").as_uri()

    @property
    def cache_folder(self) -> Path:
        """Local scratch: copies of files and features, derived encoders. Safe to delete at any time."""
        return self.data.absolute() / "cache"
