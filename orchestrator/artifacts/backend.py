"""Opens object stores by URL, and translates their errors."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias
from urllib.parse import unquote, urlsplit, urlunsplit

from obstore.exceptions import BaseError
from obstore.store import AzureStore, GCSStore, LocalStore, MemoryStore, S3Store, from_url

from orchestrator.artifacts.credentials import check_credentials
from orchestrator.artifacts.errors import StoreError
from orchestrator.artifacts.io_errors import store_error
from orchestrator.tracking_address import never_proxy_loopback

if TYPE_CHECKING:
    from obstore.store import RetryConfig

Backend: TypeAlias = LocalStore | MemoryStore | S3Store | GCSStore | AzureStore

_REMOTE = ("s3", "s3a", "gs", "az", "adl", "azure", "abfs", "abfss")

#: How long obstore itself retries. Longer outages are for the stage's attempts, which people can see.
_REQUESTS: RetryConfig = {"retry_timeout": timedelta(seconds=30)}

# obstore's threads do not survive a fork: a request of the child would never be answered.
_used = _forked = False


def _mark_forked() -> None:
    global _forked
    _forked = _used


os.register_at_fork(after_in_child=_mark_forked)


def open_backend(url: str, *, create: bool = True) -> tuple[Backend, Path | None]:
    """The object store of this URL, and its folder if it is a local one.

    Without `create`, a folder that is not there is taken for an empty store, and not made.
    """
    scheme = url.partition("://")[0] if "://" in url else ""
    with _as_store_error("open", shown(url)):
        if scheme == "memory":
            return MemoryStore(), None
        if scheme in _REMOTE:
            check_credentials(scheme, shown(url))
            never_proxy_loopback(os.environ)
            return from_url(url, retry_config=_REQUESTS), None  # type: ignore[return-value]  # a remote one
        if (folder := local_folder(url)) is not None:
            if not create and not folder.exists():
                return MemoryStore(), None
            return LocalStore(folder, mkdir=True), folder
    raise StoreError(
        f"{shown(url)} is not a store's URL",
        hint="Use a folder, file:///folder, memory://, s3://bucket/prefix, gs://bucket/prefix or "
        "az://account/container/prefix.",
    )


def shown(url: str) -> str:
    """The URL as it may appear in a log: without credentials."""
    if "://" not in url:
        return url
    parts = urlsplit(url)
    return urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2], query="", fragment=""))


@contextmanager
def translated_errors(doing: str, url: str) -> Iterator[None]:
    """Turn errors of an object store into StoreError; "not found" is left to the caller."""
    global _used
    if _forked:
        raise StoreError(
            f"cannot {doing} in the artifact store {url}: this process was forked from one that used a store",
            hint="Use the store only after the fork, or start the process with 'spawn'.",
        )
    _used = True
    with _as_store_error(doing, url):
        yield


@contextmanager
def translated_write_errors(doing: str, url: str) -> Iterator[None]:
    """Like `translated_errors`, for writes: there, "not found" means that the target does not exist."""
    try:
        with translated_errors(doing, url):
            yield
    except FileNotFoundError as error:
        raise store_error(doing, url, error) from error


@contextmanager
def _as_store_error(doing: str, url: str) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise
    except (BaseError, OSError, ValueError) as error:
        raise store_error(doing, url, error) from error


def local_folder(url: str) -> Path | None:
    """The folder of the store with this URL, None if it is elsewhere; raises StoreError."""
    if not url.startswith("file:"):
        return None if "://" in url else Path(url).expanduser().absolute()
    parts = urlsplit(url)
    if parts.netloc not in ("", "localhost") or not parts.path.startswith("/"):
        raise StoreError(f"{url} is not an absolute file URL", hint="Three slashes: file:///folder")
    return Path(unquote(parts.path))
