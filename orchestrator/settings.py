"""The settings of every command and service, read from the environment or a `.env` file."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Annotated, Literal

from dotenv import dotenv_values
from pydantic import (
    AliasChoices,
    ByteSize,
    Field,
    SecretStr,
    ValidationError,
    ValidationInfo,
    field_validator,
)
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from orchestrator.authoring.masking import MASK, mask_text
from orchestrator.errors import OrchestratorError
from orchestrator.redis_url import normalized
from orchestrator.tracking_address import local_artifact_root, local_tracking_uri

#: A tuple written as comma-separated words in the environment.
Words = Annotated[tuple[str, ...], NoDecode]

#: A stage's process uses up to 350 MB for its libraries, before the stage does anything.
MEMORY_FLOOR = 400_000_000

#: The package whose pipelines ship with the orchestrator.
SHIPPED = "pipelines"
#: The entry points by which an installed package names its modules with pipelines.
ENTRY_POINTS = "orchestrator.pipelines"

_ENV_FILE = ".env"
#: Settings whose variables people know from elsewhere.
_NAMES_OF_OTHERS = ("redis_url", "redis_password", "mlflow_tracking_uri")
#: Variables that may also be given as NAME_FILE, the path of a file: Docker and Kubernetes mount secrets so.
IN_FILES = (
    "REDIS_URL",
    "REDIS_PASSWORD",
    "MLFLOW_TRACKING_URI",
    "MLFLOW_TRACKING_USERNAME",
    "MLFLOW_TRACKING_PASSWORD",
    "AWS_ACCESS_KEY_ID",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
)

#: Variables that docker-compose.yml reads from the same `.env` file.
_OF_COMPOSE = ("ORCHESTRATOR_IMAGE",)


class InvalidSettings(OrchestratorError):
    """A variable, or the `.env` file, that cannot be read."""


class Settings(BaseSettings):
    """Where things are, and how patient the services are. Durations are in seconds."""

    model_config = SettingsConfigDict(
        env_prefix="ORCHESTRATOR_",
        env_file=_ENV_FILE,
        env_file_encoding="utf-8",
        extra="ignore",
        frozen=True,
        populate_by_name=True,
        hide_input_in_errors=True,  # it may be a password
    )

    redis_password: SecretStr | None = Field(
        default=None,
        validation_alias=AliasChoices("redis_password", "REDIS_PASSWORD"),
        description="password of the user in `REDIS_URL`, if it is not in there",
    )
    redis_url: str | None = Field(
        default=None,
        validation_alias=AliasChoices("redis_url", "REDIS_URL"),
        description="the Redis of messages and runs, 6.2 or newer: `redis://`, `rediss://` (TLS) or "
        "`unix:///PATH`; without one, that of the stack that is up, else a private one",
    )
    redis_eviction: Literal["refuse", "warn"] = Field(
        default="refuse",
        description="what to do about a Redis whose `maxmemory-policy` may drop keys; `warn` where a managed "
        "service leaves no choice",
    )
    mlflow_tracking_uri: str | None = Field(
        default=None,
        validation_alias=AliasChoices("mlflow_tracking_uri", "MLFLOW_TRACKING_URI"),
        description="where MLflow is; without it, a SQLite file in `ORCHESTRATOR_HOME`",
    )
    mlflow_ui_url: str | None = Field(
        default=None,
        validation_alias=AliasChoices(
            "mlflow_ui_url",
            "ORCHESTRATOR_MLFLOW_UI_URL",
            "ORCHESTRATOR_MLFLOW_PAGES",  # its former name
        ),
        description="the address of MLflow in links that people are shown, if it is not the tracking URI",
    )
    home: Path = Field(
        default=Path(".orchestrator"),
        description="the folder of what local stacks keep: artifacts, MLflow's database, logs",
    )
    store: str = Field(
        default="",
        description="the artifact store: a folder, `file://`, `s3://`, `gs://` or `az://`; "
        "without it, `artifacts` in `ORCHESTRATOR_HOME`",
    )
    store_credentials: Literal["environment", "machine"] = Field(
        default="environment",
        description="where a cloud's store takes its credentials from: `AWS_*`, `GOOGLE_*` or `AZURE_*` in "
        "the environment, or the machine's own metadata service",
    )
    pipelines: Words = Field(
        default=(SHIPPED,),
        description="modules and packages in which pipelines are found; "
        "if it is not set, also those that packages and the working folder's project name",
    )
    queues: Words = Field(
        default=("data", "training", "deployment"), description="queues that stages may ask for"
    )
    code: Literal["refuse", "reload", "worker"] = Field(
        default="refuse",
        description="what a worker does with a run of other code: `refuse` its stages, `reload` its own if "
        "the files have changed, or run what the `worker` has; local stacks reload",
    )
    trusted_types: Words = Field(
        default=(),
        description="types and functions that stored estimators may contain, beside those of scikit-learn, "
        "LightGBM, XGBoost and the pipelines' own packages",
    )
    lease_seconds: float = Field(
        default=10.0, ge=1.0, description="seconds after which a silent worker is taken for dead"
    )
    grace_seconds: float = Field(
        default=30.0,
        ge=0,
        description="seconds that a stopping worker gives its running stages; 2 in the stack of `run`, "
        "10 in that of `up`",
    )
    memory_limit: ByteSize | None = Field(
        default=None,
        ge=MEMORY_FLOOR,
        description="memory of each stage's process, such as `4GB`: one that exceeds it is replaced",
    )
    alive_file: Path | None = Field(
        default=None,
        description="a file that workers and the coordinator touch while they work, for health checks",
    )
    retention_days: float = Field(default=1.0, gt=0, description="days that Redis remembers a finished run")
    artifact_retention_days: float | None = Field(
        default=None, gt=0, description="days after which runs are pruned from the store; without it, never"
    )

    @field_validator("pipelines", "queues", "trusted_types", mode="before")
    @classmethod
    def _split_words(cls, value: object) -> object:
        if isinstance(value, str):
            return tuple(word.strip() for word in value.split(",") if word.strip())
        return value

    @field_validator("redis_url")
    @classmethod
    def _normalized(cls, value: str | None, info: ValidationInfo) -> str | None:
        password = info.data.get("redis_password")
        return normalized(value, password.get_secret_value() if password else None) if value else None

    @field_validator("home")
    @classmethod
    def _absolute(cls, value: Path) -> Path:
        return value.expanduser().absolute()

    @property
    def modules(self) -> tuple[str, ...]:
        """Where pipelines are looked for: as set, else what ships and what packages name.

        Named by packages that are installed, and by the project in the working folder, installed or not.
        """
        if self.pipelines and "pipelines" in self.model_fields_set:
            return self.pipelines
        from importlib.metadata import entry_points

        installed = (point.value for point in entry_points(group=ENTRY_POINTS))
        return tuple(dict.fromkeys([SHIPPED, *installed, *named_by_project(Path.cwd())]))

    @property
    def store_url(self) -> str:
        """The artifact store's URL, with its default filled in."""
        return self.store or (self.home / "artifacts").as_uri()

    @property
    def tracking_uri(self) -> str:
        """Where MLflow is; a SQLite file in `home` by default."""
        return self.mlflow_tracking_uri or local_tracking_uri(self.home)

    @property
    def artifact_root(self) -> str:
        """Where MLflow's artifacts go while no server takes them."""
        return local_artifact_root(self.home)

    @property
    def retention(self) -> int:
        """How long Redis remembers a finished run, in seconds."""
        return int(self.retention_days * 86_400)


@dataclass(frozen=True)
class SettingSource:
    """A setting as it stands, and where it comes from."""

    variable: str  #: of the environment
    value: str  #: as it may be shown
    source: str  #: `environment`, `.env`, `the file PATH`, or `default`


def setting_sources(chosen: Settings) -> list[SettingSource]:
    """Each setting by its variable, secrets masked."""
    in_file = _in_env_file()
    found = []
    for field in Settings.model_fields:
        names = _variables_of(field)
        variable = next((name for name in names if name in os.environ), None)
        file = next((name for name in names if name in IN_FILES and _is_from_file(name)), None)
        written = next((name for name in names if name in in_file), None)
        if file is not None:
            source = f"the file {os.environ[f'{file}_FILE']}"
        elif variable is not None:
            source = "environment"
        else:
            source = _ENV_FILE if written else "default"
        value = getattr(chosen, field)
        shown = MASK if isinstance(value, SecretStr) else mask_text(_as_written(value))
        found.append(SettingSource(variable or written or names[0], shown, source))
    return found


def unknown_variables() -> list[str]:
    """Variables that look like settings and are none, in the environment or the `.env` file."""
    in_file = _in_env_file()
    known = {name for field in Settings.model_fields for name in _variables_of(field)}
    return sorted(
        name
        for name in {*os.environ, *in_file}
        if name.startswith("ORCHESTRATOR_")
        and name.removesuffix("_FILE") not in known
        and name not in (*known, *_OF_COMPOSE)
    )


def known_variables() -> list[str]:
    """The variables of all settings."""
    return [_variables_of(field)[0] for field in Settings.model_fields]


def _in_env_file() -> Mapping[str, str | None]:
    return dotenv_values(_ENV_FILE) if Path(_ENV_FILE).is_file() else {}


def _variables_of(field: str) -> list[str]:
    """The names of a setting in the environment, the one to use first."""
    alias = Settings.model_fields[field].validation_alias
    if isinstance(alias, AliasChoices):
        return [str(choice) for choice in alias.choices if str(choice).isupper()]
    return [f"ORCHESTRATOR_{field.upper()}"]


def _as_written(value: object) -> str:
    if isinstance(value, tuple):
        return ",".join(map(str, value))
    return "" if value is None else str(value)


@cache
def settings() -> Settings:
    """The settings of this process, read once (`settings.cache_clear()` reads them anew).

    Raises InvalidSettings, which names each variable that cannot be meant, and shows no value.
    """
    hint = f"see ORCHESTRATOR_*, REDIS_URL, MLFLOW_TRACKING_URI and the {_ENV_FILE} file"
    _read_secret_files()
    try:
        return Settings()
    except ValidationError as error:
        mistakes = "; ".join(_mistake(each["loc"], each["msg"]) for each in error.errors())
        raise InvalidSettings(mistakes, hint=hint) from None
    except UnicodeDecodeError as error:
        where = Path(_ENV_FILE).absolute()
        raise InvalidSettings(
            f"{where} is not UTF-8 (at byte {error.start + 1}): save it as UTF-8", hint=hint
        ) from None


def named_by_project(folder: Path) -> tuple[str, ...]:
    """The modules with pipelines that the pyproject.toml of a folder names as entry points; none without one.

    Raises InvalidSettings for a file that cannot be read.
    """
    file = folder / "pyproject.toml"
    if not file.is_file():
        return ()
    import tomllib  # only a project needs it

    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InvalidSettings(f"{file} cannot be read: {error}", hint="correct it") from None
    match content:
        case {"project": {"entry-points": {"orchestrator.pipelines": {**named}}}}:
            return tuple(map(str, named.values()))
    return ()


def apply_environment(variables: Mapping[str, str]) -> None:
    """Set this process's environment, and thereby its settings, as those of a stack's parts are."""
    os.environ.update(variables)
    settings.cache_clear()


def _read_secret_files() -> None:
    """Set the variables whose values are in files: MLflow and the store's client look for them there.

    An empty file is none: Compose wants one for each secret that a service may have.
    """
    for name in IN_FILES:
        file = os.environ.get(f"{name}_FILE")
        if not file or name in os.environ:
            continue
        try:
            value = Path(file).read_text(encoding="utf-8").rstrip("\r\n")
        except (OSError, ValueError) as error:
            raise InvalidSettings(f"{name}_FILE: {file} cannot be read: {error}") from None
        if value:
            os.environ[name] = value


def _is_from_file(name: str) -> bool:
    """Whether a variable has the value of its file; one that was set beside it goes before that."""
    file = os.environ.get(f"{name}_FILE")
    if not file or name not in os.environ:
        return False
    try:
        return Path(file).read_text(encoding="utf-8").rstrip("\r\n") == os.environ[name]
    except (OSError, ValueError):
        return False


def _mistake(place: tuple[int | str, ...], message: str) -> str:
    field = str(place[0]).lower()
    variable = field.upper() if field in _NAMES_OF_OTHERS else f"ORCHESTRATOR_{field.upper()}"
    return f"{variable}: {message.removeprefix('Value error, ')}"
