"""Whoever can write to Redis cannot stop a worker: a message that makes no sense costs itself alone."""

from __future__ import annotations

import base64
import gzip
import json
import random
import zlib
from collections.abc import Iterator
from copy import deepcopy
from typing import Any

import pytest
import redis

from orchestrator.messaging.envelope import BadMessage, check, check_command, check_task, read
from tests.harness.runner import Runner
from tests.harness.services import Service
from tests.harness.waiting import wait_until
from workers.runtime.processes import started_by

from .conftest import SLOTS

pytestmark = pytest.mark.stack

Message = dict[str, Any]


def packed(body: object) -> str:
    """A body as Celery sends it."""
    return base64.b64encode(json.dumps(body).encode()).decode()


def nested(depth: int) -> object:
    value: Any = 1
    for _ in range(depth):
        value = [value]
    return value


def task(body: object = None, /, **headers: object) -> Message:
    """A message for a stage, complete and of the right shape."""
    return {
        "body": packed([[], {"run": "nobody-1", "node": "number"}, {}] if body is None else body),
        "content-type": "application/json",
        "content-encoding": "utf-8",
        "headers": {
            "task": "runtime_pipelines.number", "id": "1", "lang": "py", "root_id": "1", "parent_id": None,
            "group": None,
            "retries": 0, "timelimit": [None, None], "eta": None, "expires": None, "argsrepr": "()",
            "kwargsrepr": "{}", "origin": "me", "ignore_result": True, "stamped_headers": None, "stamps": {},
            **headers,
        },
        "properties": {
            "correlation_id": "1", "reply_to": "me", "delivery_mode": 2, "priority": 0,
            "body_encoding": "base64",
            "delivery_info": {"exchange": "", "routing_key": "data"}, "delivery_tag": "tag",
        },
    }  # fmt: skip


def with_body(text: str, **changes: object) -> Message:
    return {**task(), "body": text, **changes}


def bomb(packer: Any, name: str) -> Message:
    """A small message of a gigabyte."""
    text = base64.b64encode(packer(bytes(50_000_000))).decode()
    message = task(compression=name)
    return {**message, "body": text}


def v1(**fields: object) -> Message:
    """Celery's first protocol: everything is in the body."""
    body = {"task": "runtime_pipelines.number", "id": "1", "args": [], "kwargs": {}, "retries": 0, **fields}
    return {**task(), "body": packed(body), "headers": {}}


SIGNATURE = {"task": "runtime_pipelines.no_such_task", "args": [], "kwargs": {}, "options": {"queue": "data"}}
FOLLOWING = {"chain": [SIGNATURE], "callbacks": [SIGNATURE], "errbacks": [SIGNATURE], "chord": SIGNATURE}

ODD_BODIES: list[object] = [5, [1], {}, "x", [[], {}], [1, 2, 3], [[], [], {}]]

#: What is refused.
NAMED = {
    **{f"body {body!r}": task(body) for body in ODD_BODIES},
    "body null": with_body(packed(None)),
    "no JSON": with_body(base64.b64encode(b"{").decode()),
    "no base64": with_body("%%%"),
    "a number as body": {**task(), "body": 5},
    "no body": {key: value for key, value in task().items() if key != "body"},
    "time limit 5": task(timelimit=5),
    "time limits of text": task(timelimit=["a", "b"]),
    "id {}": task(id={}),
    "task []": task(task=[]),
    "stamps 5": task(stamps=5),
    "stamped headers 5": task(stamped_headers=5),
    "eta of long ago": task(eta="when it suits"),
    "expires 5": task(expires=5),
    "retries of text": task(retries="many"),
    "group index {}": task(group_index={}),
    "pickle": {**task(), "content-type": "application/x-python-serialize"},
    "yaml": {**task(), "content-type": "application/x-yaml"},
    "a content type of another kind": {**task(), "content-type": {"a": 1}},
    "an encoding that there is not": {**task(), "content-encoding": "utf-99"},
    "deep arguments": task([[], {"run": "a", "node": "b", "x": nested(900)}, {}]),
    "a deep chain": task([[], {"run": "a", "node": "b"}, {"chain": [nested(900)]}]),
    "deeper than can be read": with_body(base64.b64encode(b"[" * 100_000 + b"]" * 100_000).decode()),
    "a gzip bomb": bomb(gzip.compress, "application/x-gzip"),
    "a zlib bomb": bomb(zlib.compress, "zlib"),
    "protocol 1": v1(),
    "protocol 1 without arguments": v1(args=5, kwargs=None),
    "headers null": {**task(), "headers": None},
    "headers list": {**task(), "headers": [1]},
    "properties null": {**task(), "properties": None},
    "no delivery info": {**task(), "properties": {"delivery_tag": "x", "body_encoding": "base64"}},
    "a delivery tag of another kind": {**task(), "properties": {**task()["properties"], "delivery_tag": {}}},
    "half a character as delivery tag": {
        **task(),
        "properties": {**task()["properties"], "delivery_tag": "\ud800"},
    },
    "half a character as correlation id": {
        **task(),
        "properties": {**task()["properties"], "correlation_id": "\udc00"},
    },
    "an endless priority": {
        **task(),
        "properties": {**task()["properties"], "priority": float("inf")},
    },
    "half a character as root": task(root_id="\ud800"),
    "run of another kind": task([[], {"run": 5, "node": "number"}, {}]),
    "a run that is a path": task([[], {"run": "../../etc", "node": "number"}, {}]),
    "node of another kind": task([[], {"run": "a", "node": ["number"]}, {}]),
    "round of another kind": task([[], {"run": "a", "node": "number", "round": "1"}, {}]),
    "share of another kind": task([[], {"run": "a", "node": "number", "share": {}}, {}]),
    "batch of another kind": task([[], {"run": "a", "node": "number", "batch": {}}, {}]),
    "callbacks 5": task([[], {"run": "a", "node": "number"}, {"callbacks": 5}]),
    "callbacks of garbage": task([[], {"run": "a", "node": "number"}, {"callbacks": [5, {}]}]),
    "chord 5": task([[], {"run": "a", "node": "number"}, {"chord": 5}]),
}

#: Shapes that Celery takes, and that come to nothing.
HARMLESS = {
    "an unknown run": task(),
    "a task that nobody knows": task(task="os.system"),
    "positional arguments": task([["a", "b"], {}, {}]),
    "arguments that the stage does not take": task([[], {"run": "a", "node": "number", "x": 1}, {}]),
    "no arguments": task([[], {}, {}]),
    "what follows is unknown": task([[], {"run": "a", "node": "b"}, FOLLOWING]),
    "a conclusion of nobody": task([[], {"run": "nobody-2"}, {}], task="orchestrator.deliver"),
}


@pytest.mark.parametrize("name", NAMED)
def test_what_celery_would_not_survive_is_refused(name: str) -> None:
    with pytest.raises(BadMessage, match=r"."):
        check_task(read(json.dumps(NAMED[name])))


@pytest.mark.parametrize("text", [b"", b"\xff\xfe", b"{", b"5", b"null", b"[1]", b"[" * 100_000])
def test_what_is_no_message_is_refused(text: bytes) -> None:
    with pytest.raises(BadMessage, match=r"."):
        check(read(text))


@pytest.mark.parametrize("name", HARMLESS)
def test_what_is_of_the_right_shape_is_taken(name: str) -> None:
    check_task(read(json.dumps(HARMLESS[name])))


ODD_COMMANDS: list[object] = [
    5,
    [1],
    {},
    {"method": 5},
    {"method": "ping", "arguments": 5},
    {"method": "ping", "destination": 5},
    {"method": "ping", "reply_to": 5},
    {"method": "ping", "pattern": "(", "matcher": "pcre"},
    {"method": "ping", "pattern": "x", "matcher": "none"},
]


@pytest.mark.parametrize("command", ODD_COMMANDS)
def test_a_command_that_makes_no_sense_is_refused(command: object) -> None:
    with pytest.raises(BadMessage, match=r"."):
        check_command(task(command))


def test_a_command_as_celery_sends_it_is_taken() -> None:
    reply_to = {"exchange": "reply.celery.pidbox", "routing_key": "1"}
    body: Message = {"method": "ping", "arguments": {}, "destination": None, "pattern": None, "matcher": None}
    check_command(task({**body, "ticket": "1", "reply_to": reply_to}))


def mutated(message: Message, random_: random.Random) -> Message | object:
    """The message with one part of it taken out, or of another kind."""
    changed = deepcopy(message)
    if random_.random() < 0.5:
        body = json.loads(base64.b64decode(changed["body"]))
        changed["body"] = packed(_mutated(body, random_))
        return changed
    return _mutated(changed, random_)


def _mutated(value: Any, random_: random.Random) -> Any:
    odd = [None, 5, -1, 1e308, "x", "", [], {}, [None], {"a": 1}, True, nested(60), "\x00", "ü" * 1000]
    if isinstance(value, (dict, list)) and value and random_.random() < 0.8:
        key = random_.choice(list(value) if isinstance(value, dict) else range(len(value)))
        if isinstance(value, dict) and random_.random() < 0.2:
            del value[key]
        else:
            value[key] = _mutated(value[key], random_)
        return value
    return random_.choice(odd)


@pytest.fixture
def processes(worker: Service) -> Iterator[set[int]]:
    """The worker's processes, which are the same after the test."""
    wait_until(lambda: len(worker.pool()) == SLOTS, "the process that a cancel ended before is replaced")
    before = set(started_by(worker.process.pid))
    yield before
    assert worker.process.poll() is None, worker.log.read_text()[-4000:]
    assert set(started_by(worker.process.pid)) == before


@pytest.mark.slow
@pytest.mark.timeout(240)
def test_no_message_ends_a_worker(runner: Runner, client: redis.Redis, processes: set[int]) -> None:
    random_ = random.Random(0)
    whole = [*NAMED.values(), *HARMLESS.values()]
    texts: list[bytes | str] = [b"", b"\xff\xfe", b"{", b"5", b"null", b"[" * 100_000]
    texts += [json.dumps(message) for message in whole]
    texts += [json.dumps(mutated(random_.choice(list(HARMLESS.values())), random_)) for _ in range(60)]
    for text in texts:
        client.lpush(random_.choice(["data", "training", "deployment"]), text)
    commands = [*ODD_COMMANDS, {"destination": 5, "method": "x"}]
    for command in commands * 5:
        client.publish("/0.celery.pidbox", json.dumps(task(command)))
        client.publish("/0.celery.pidbox", json.dumps(command))
    for text in ("{", '"x"', "[" * 100_000, "null", "ü"):
        client.publish("/0.celery.pidbox", text)
    wait_until(lambda: not any(map(client.llen, ("data", "training", "deployment"))), "all were fetched", 100)
    wait_until(lambda: not client.hlen("unacked"), "all were acknowledged", 100)
    assert runner.run("line").state.value == "succeeded"
