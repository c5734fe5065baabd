"""What a stage has read as a secret is nowhere in what is shown or kept, however the stage lets it out."""

from __future__ import annotations

import json
from base64 import b64decode
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import redis
from mlflow import MlflowClient

from orchestrator.run_id import RunId
from orchestrator.settings import settings
from tests.harness.runner import Runner, nodes_of
from tests.harness.services import Service
from tests.harness.shell import Done, Shell
from tests.harness.waiting import wait_until

from .secrets_of_stages import PLAIN, TRACES

pytestmark = pytest.mark.stack


@pytest.mark.slow
def test_a_secret_is_nowhere_in_what_is_shown_or_kept(
    runner: Runner, environment: dict[str, str], home: Path, worker: Service, tmp_path: Path
) -> None:
    client, gate = runner.reader.client, tmp_path / "gate"
    shell = Shell(home, environment)
    with client.pubsub() as events:
        events.psubscribe("*")
        run = runner.submit("leaking", gate=str(gate))
        nodes = f"orc:{{{run}}}:progress"
        wait_until(lambda: client.exists(nodes), "it has let out all and tells its progress")
        found = {
            "Redis, while it runs": _everything_in(client),
            "show, while it runs": _text(shell("show", run)),
        }
        gate.touch()
        wait_until(lambda: runner.reader.concluded(run), "the run is concluded")
        found["events"] = "\n".join(_told(events))
    record = runner.reader.read(run, runner.prepare("leaking", gate=str(gate)).graph)
    assert [attempt.error is not None for attempt in nodes_of(record)["leak"].attempts] == [True, True]
    found |= {
        "Redis": _everything_in(client),
        "the worker's log": worker.log.read_text(encoding="utf-8"),
        **{words[0]: _text(shell(*words)) for words in _commands(run)},
        "MLflow": _of_mlflow(str(record.mlflow_run_id)),
    }
    for place, text in found.items():
        assert not [trace for trace in TRACES if trace in text], place
        assert "***" in text, place
    leaks = {str(path) for path in home.rglob("*") if any(trace in _content(path) for trace in TRACES)}
    # the parameter whose name says that it is a secret is in the graph, for the stage alone
    assert leaks == {str(home / "artifacts" / "runs" / run / "specification.json")}


def test_what_a_stage_returns_is_kept_and_not_shown(runner: Runner) -> None:
    record = runner.run("giving")
    assert nodes_of(record)["give"].value == ["***"]
    assert PLAIN not in _everything_in(runner.reader.client)


def _commands(run: RunId) -> Iterator[tuple[str, ...]]:
    yield "logs", run
    yield "show", run
    yield "show", run, "--json"
    yield "runs", "--json"


def _text(done: Done) -> str:
    return done.out + done.err


def _everything_in(client: redis.Redis) -> str:
    return "\n".join(f"{key} {_value(client, key)}" for key in client.scan_iter(count=1000))


def _value(client: redis.Redis, key: str) -> Any:
    match client.type(key):
        case "string":
            return client.get(key)
        case "hash":
            return client.hgetall(key)
        case "list":
            return client.lrange(key, 0, -1)
        case "set":
            return client.smembers(key)
        case "zset":
            return client.zrange(key, 0, -1, withscores=True)
        case "stream":
            return client.xrange(key)
    return None  # it has just expired


def _told(events: redis.client.PubSub) -> Iterator[str]:
    """What Celery has told Flower."""
    while (message := events.get_message(timeout=0.2)) is not None:
        if message["type"] == "pmessage" and "celeryev" in message["channel"]:
            yield b64decode(json.loads(message["data"])["body"]).decode()


def _of_mlflow(run: str) -> str:
    client = MlflowClient(settings().tracking_uri)
    experiment = client.get_run(run).info.experiment_id
    return str([each.to_dictionary() for each in client.search_runs([experiment])])


def _content(path: Path) -> str:
    """Its name and, of a file, what is in it."""
    return path.name + (path.read_bytes().decode("utf-8", "replace") if path.is_file() else "")
