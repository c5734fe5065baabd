"""A stage that lets out its secrets in every way there is."""

from __future__ import annotations

import json
import logging
import os
import subprocess
import sys
import time
import warnings
from pathlib import Path
from tempfile import TemporaryDirectory
from urllib.parse import quote

import pandas as pd
from matplotlib.figure import Figure

from orchestrator import Retry, context, pipeline, stage
from tests.integration.runtime.secrets_of_stages import DEFAULT

log = logging.getLogger("mine")


@stage(queue="training", retry=Retry(on=(OSError,), times=1, backoff=0.1))
def leak(api_key: str, gate: str) -> None:
    """Fail twice: the first time the stage is tried again."""
    password, plain = context.secret("WAREHOUSE_PASSWORD"), context.secret("PLAIN_PASSWORD")
    key = context.secret("SIGNING_KEY")
    for secret in (password, plain, key, api_key):
        _print(secret)
        _log(secret)
    _name(plain)
    for _ in context.progress(range(2), description=f"with {plain}"):
        while not Path(gate).exists():
            time.sleep(0.01)
    users: dict[str, int] = {}
    try:
        users[password]
    except KeyError as error:
        failure = type(f"Bad_{plain}", (OSError,), {})(f"cannot log in with {password!r}, {plain} or {key}")
        failure.add_note(f"nor with {api_key}")
        raise failure from error


def _print(secret: str) -> None:
    print(secret, repr(secret), ascii(secret), json.dumps(secret), quote(secret), {secret: [secret]})
    print(secret[:5], end="", flush=True)
    print(secret[5:], flush=True)
    for share in range(3):  # what tqdm does to a stream
        sys.stderr.write(f"\r{secret}: {share}/2")
        sys.stderr.flush()
    sys.stderr.write("\n")
    subprocess.run(["printf", "%s\n", secret], check=True)
    child = os.fork()
    if child == 0:
        print("a copy has", secret, flush=True)
        os._exit(0)
    os.waitpid(child, 0)
    log.warning("with %s and %r", secret, secret)
    log.error("and %s", {"at": [secret]})
    logging.getLogger(f"client.{secret}").warning("hello")
    print("x" * (10_000 - len(secret) // 2) + secret)
    context.once(f"send with {secret}", lambda: "sent")
    warnings.warn(f"do not use {secret}", stacklevel=1)


def _log(secret: str) -> None:
    context.log_param("note", secret[:1] + "…")
    context.log_param(f"of {secret}", f"is {secret}")
    context.log_params({"nested": {f"in {secret}": [secret]}})
    context.log_metric(f"of {secret}", 1.0)
    context.set_tag(f"of {secret}", f"is {secret}")
    context.log_text(f"It is {secret}.", "text.txt")
    context.log_table({"of": [secret], f"by {secret}": [repr(secret)]}, "columns.json")
    context.log_table({"of": [secret]}, "columns.csv")
    context.log_table(pd.DataFrame({"of": [secret], f"by {secret}": [1]}), "frame.json")
    context.log_table(pd.DataFrame({"of": [secret]}), "frame.csv")


def _name(secret: str) -> None:
    context.log_text("-", f"{secret}/{secret}.txt")
    context.log_figure(Figure(), f"{secret}/{secret}.png")
    context.log_table({"a": [1]}, f"{secret}.json")
    with TemporaryDirectory() as folder:
        (Path(folder) / secret).mkdir()
        (Path(folder) / f"{secret}.txt").touch()
        context.log_artifact(Path(folder) / secret, secret)
        context.log_artifact(Path(folder) / f"{secret}.txt")


@pipeline
def leaking(gate: str, api_key: str = DEFAULT) -> None:
    """Let out all secrets."""
    leak(api_key, gate)


@stage
def give() -> list[str]:
    """Return a secret, which is stored for whoever takes it."""
    return [context.secret("PLAIN_PASSWORD")]


@pipeline
def giving() -> None:
    """Give a secret away on purpose."""
    give()
