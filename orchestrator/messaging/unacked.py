"""Fetched and unacknowledged messages, as kombu stores them in Redis."""

from __future__ import annotations

import base64
import json
import logging
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from importlib.resources import files
from itertools import chain
from typing import TYPE_CHECKING, cast

from orchestrator.messaging.envelope import BadMessage, Raw, check_task, read
from orchestrator.messaging.priorities import level_of, list_of, lists_of
from orchestrator.messaging.set_aside import SetAside
from orchestrator.run_id import RunId

if TYPE_CHECKING:
    from redis import Redis

log = logging.getLogger(__name__)

#: Kombu's keys: a hash of messages by delivery tag, and a sorted set of their fetch times.
UNACKED, FETCHED = "unacked", "unacked_index"

#: Script that requeues a fetched message.
REQUEUE = (files("orchestrator.messaging") / "lua" / "requeue.lua").read_text(encoding="utf-8")


@dataclass(frozen=True)
class Fetched:
    """A message of a run that a worker has fetched."""

    tag: str
    message: Mapping[str, object]
    queue: str
    id: str
    run: RunId
    node: str  #: the node it names; empty for a message about the whole run
    scheduled: bool  #: it has an ETA, until which the worker delays it by its own clock


def fetched_messages(client: Redis) -> Iterator[Fetched]:
    """Yield all fetched and unacknowledged messages of runs; quarantine malformed ones."""
    entries = cast("Mapping[str, str]", client.hgetall(UNACKED))
    for tag, text in entries.items():
        run = None
        try:
            message, queue = _as_fetched(text)
            run = run_of(message)
            if run is not None:
                check_task(message)
        except BadMessage as error:
            if _set_aside(client, tag, SetAside(run, str(error), text)):
                extra = {"action": "message_refused"}
                log.error("a message that was fetched is set aside: %s", error, extra=extra)  # noqa: TRY400
            continue
        if run is not None:
            headers = cast("Mapping[str, str]", message["headers"])
            node, scheduled = _argument(message, "node") or "", headers.get("eta") is not None
            yield Fetched(tag, message, queue, headers["id"], run, node, scheduled)


def _as_fetched(text: str) -> tuple[Raw, str]:
    """Parse kombu's entry of a fetched message into the message and its queue; raises BadMessage."""
    try:
        message, _, queue = json.loads(text)
    except (TypeError, ValueError, RecursionError) as error:
        raise BadMessage("it is no message, exchange and queue") from error
    if not isinstance(message, dict) or not isinstance(queue, str):
        raise BadMessage("it is no message, exchange and queue")
    return message, queue


def _set_aside(client: Redis, tag: str, entry: SetAside) -> bool:
    """Move a malformed entry from the fetched messages to the quarantine; False if it is gone."""
    with client.pipeline() as transaction:
        transaction.hdel(UNACKED, tag)
        transaction.zrem(FETCHED, tag)
        entry.keep(transaction)
        return bool(transaction.execute()[0])


def requeue(client: Redis, fetched: Fetched) -> bool:
    """Requeue a fetched message at the consuming end of its list in its queue; False if it is gone.

    The worker that fetched it may only be paused. When it continues, it cannot acknowledge the next worker's
    delivery, since each delivery has its own tag (`orchestrator.messaging.transport`).
    """
    return requeue_message(client, fetched.tag, fetched.message, fetched.queue)


def requeue_message(client: Redis, tag: str, message: Mapping[str, object], queue: str) -> bool:
    """Requeue any fetched message, in kombu's format; `tag` is its delivery tag."""
    copy = json.loads(json.dumps(message))
    copy["headers"]["redelivered"] = True
    copy["properties"]["delivery_info"]["redelivered"] = True
    keys = [UNACKED, FETCHED, list_of(queue, level_of(message))]
    return bool(client.eval(REQUEUE, len(keys), *keys, tag, json.dumps(copy)))


def waiting_nodes(client: Redis, queues: Iterable[str]) -> set[tuple[RunId, str]]:
    """Return the runs and nodes named by queued messages of any priority; node "" if about a whole run."""
    with client.pipeline(transaction=False) as pipe:
        for queue in queues:
            for key in lists_of(queue):
                pipe.lrange(key, 0, -1)
        waiting = cast("list[list[str]]", pipe.execute())
    return nodes_named(chain.from_iterable(waiting))


def nodes_named(messages: Iterable[str]) -> set[tuple[RunId, str]]:
    """Return the runs and nodes named by messages as they are in a queue; node "" if about a whole run."""
    found: set[tuple[RunId, str]] = set()
    for text in messages:
        try:
            message = read(text)
        except BadMessage:
            continue  # the worker that fetches it reports it
        run = run_of(message)
        if run is not None:
            found.add((run, _argument(message, "node") or ""))
    return found


def run_of(message: Mapping[str, object]) -> RunId | None:
    """Return the run that a message belongs to; None for other messages."""
    run = _argument(message, "run")
    return None if run is None else RunId(run)


def _argument(message: Mapping[str, object], name: str) -> str | None:
    """Return a string argument of a task message; None if there is none."""
    try:
        _, kwargs, _ = json.loads(base64.b64decode(str(message["body"])))
        return kwargs[name] if isinstance(kwargs[name], str) else None
    except (KeyError, TypeError, ValueError, RecursionError):
        return None
