"""Credentials of object stores: from the environment, or of the machine where a setting allows it."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from orchestrator.artifacts.errors import StoreError

_NO = ("", "0", "f", "false", "n", "no", "off")


@dataclass(frozen=True)
class Cloud:
    """Which variables hold credentials for one kind of store; any set of them is enough."""

    enough: tuple[tuple[str, ...], ...]
    file: str = ""  #: a file that the store's client finds by itself, below the home folder
    hint: str = ""


_AWS: Final = Cloud(
    enough=(
        ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"),
        ("AWS_WEB_IDENTITY_TOKEN_FILE", "AWS_ROLE_ARN"),
        ("AWS_CONTAINER_CREDENTIALS_RELATIVE_URI",),
        ("AWS_CONTAINER_CREDENTIALS_FULL_URI", "AWS_CONTAINER_AUTHORIZATION_TOKEN_FILE"),
        ("AWS_METADATA_ENDPOINT",),
        ("AWS_SKIP_SIGNATURE",),
    ),
    hint="Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY (profiles of ~/.aws are not read)",
)
_GOOGLE: Final = Cloud(
    enough=(
        ("GOOGLE_APPLICATION_CREDENTIALS",),
        ("GOOGLE_SERVICE_ACCOUNT",),
        ("GOOGLE_SERVICE_ACCOUNT_PATH",),
        ("GOOGLE_SERVICE_ACCOUNT_KEY",),
        ("GOOGLE_SKIP_SIGNATURE",),
    ),
    file=".config/gcloud/application_default_credentials.json",
    hint="Set GOOGLE_APPLICATION_CREDENTIALS to the file of a service account",
)
_AZURE: Final = Cloud(
    enough=tuple(
        tuple(f"{prefix}{name}" for name in names)
        for prefix in ("AZURE_STORAGE_", "AZURE_")
        for names in (
            ("ACCOUNT_KEY",),
            ("ACCESS_KEY",),
            ("SAS_KEY",),
            ("SAS_TOKEN",),
            ("TOKEN",),
            ("CLIENT_ID", "CLIENT_SECRET", "TENANT_ID"),
            ("CLIENT_ID", "FEDERATED_TOKEN_FILE", "TENANT_ID"),
            ("MSI_ENDPOINT",),
            ("USE_AZURE_CLI",),
            ("USE_EMULATOR",),
            ("SKIP_SIGNATURE",),
        )
    ),
    hint="Set AZURE_STORAGE_ACCOUNT_NAME and AZURE_STORAGE_ACCOUNT_KEY",
)
_CLOUDS: Final = {"s3": _AWS, "s3a": _AWS, "gs": _GOOGLE}


def check_credentials(scheme: str, url: str, environment: Mapping[str, str] = os.environ) -> None:
    """Refuse a store without credentials, unless the machine itself may be asked for them.

    The clients would ask a link-local address for them (169.254.169.254), wherever they run: in vain for half
    a minute on most machines, and on a strange network whoever answers there says which ones are used.
    """
    from orchestrator.settings import settings  # for remote stores only: it brings pydantic

    cloud = _CLOUDS.get(scheme, _AZURE)
    if settings().store_credentials == "machine" or _has_any(cloud, environment):
        return
    raise StoreError(
        f"there are no credentials for the artifact store {url}",
        hint=f"{cloud.hint}, or ORCHESTRATOR_STORE_CREDENTIALS=machine to use the machine's own role.",
    )


def _has_any(cloud: Cloud, environment: Mapping[str, str]) -> bool:
    if cloud.file and (Path.home() / cloud.file).exists():
        return True
    said = {name for name, value in environment.items() if value.lower() not in _NO}
    return any(said.issuperset(names) for names in cloud.enough)
