"""The settings of every command and service, read from the environment or a `.env` file."""

from __future__ import annotations

from functools import cache
from pathlib import Path
from typing import Annotated

from pydantic import AliasChoices, ByteSize, Field, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

#: A tuple written as comma-separated words in the environment.
Words = Annotated[tuple[str, ...], NoDecode]

#: A stage's process uses up to 350 MB for its libraries, before the stage does anything.
MEMORY_FLOOR = 400_000_000


class Settings(BaseSettings):
    """Where things are, and how patient the services are. Durations are in seconds."""

    model_config = SettingsConfigDict(
        env_prefix="ORCHESTRATOR_", env_file=".env", extra="ignore", frozen=True, populate_by_name=True
    )

    redis_url: str | None = Field(default=None, validation_alias=AliasChoices("redis_url", "REDIS_URL"))
    mlflow_tracking_uri: str | None = Field(
        None, validation_alias=AliasChoices("mlflow_tracking_uri", "MLFLOW_TRACKING_URI")
    )
    mlflow_pages: str | None = None  #: where people open MLflow, if not at the tracking URI
    home: Path = Path(".orchestrator")  #: what the embedded stack keeps
    store: str = ""  #: the artifact store's URL; a folder in `home` by default
    pipelines: Words = ("pipelines",)  #: modules and packages in which pipelines are found
    queues: Words = ("data", "training", "deployment")  #: queues that stages may ask for
    trusted_types: Words = ()  #: further types that a stored estimator may contain (skops)
    lease_seconds: float = Field(default=10.0, ge=1.0)  #: a worker silent for so long is taken for dead
    grace_seconds: float = Field(default=30.0, ge=0)  #: what a stopping worker gives its running stages
    memory_limit: ByteSize | None = Field(default=None, ge=MEMORY_FLOOR)  #: for each stage's process
    retention_days: float = Field(default=30.0, gt=0)  #: how long Redis remembers a finished run

    @field_validator("pipelines", "queues", "trusted_types", mode="before")
    @classmethod
    def _split_words(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(word.strip() for word in value.split(",") if word.strip())
        return value

    @field_validator("home")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().absolute()

    @property
    def store_url(self) -> str:
        """The artifact store's URL, with its default filled in."""
        return self.store or (self.home / "artifacts").as_uri()

    @property
    def tracking_uri(self) -> str:
        """Where MLflow is; a SQLite file in `home` by default."""
        return self.mlflow_tracking_uri or f"sqlite:///{self.home / 'mlflow.db'}"

    @property
    def artifact_root(self) -> str:
        """Where MLflow's artifacts go while no server takes them."""
        return (self.home / "mlartifacts").as_uri()

    @property
    def retention(self) -> int:
        """How long Redis remembers a finished run, in seconds."""
        return int(self.retention_days * 86_400)


@cache
def settings() -> Settings:
    """The settings of this process, read once (`settings.cache_clear()` reads them anew)."""
    return Settings()
