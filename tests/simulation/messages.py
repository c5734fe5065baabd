"""The way of messages: Celery and kombu send them for real; a stand-in for kombu's consumer fetches them.

What is sent, is sent by Celery's own code (chains, chords, retries) and kombu's Redis channel. What stands in
for kombu's consumer (`Channel._brpop_read`, `QoS.append`, `QoS.ack`, `QoS.reject`, kombu 5.7) keeps its
layout in Redis, as the supervisor reads it there: lists by queue and priority, the hash `unacked`, an index.
"""

from __future__ import annotations

import base64
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from hashlib import sha1
from typing import Any
from uuid import uuid4

import redis
from kombu.transport.redis import Channel

from orchestrator.messaging.priorities import LEVELS, list_of
from orchestrator.messaging.unacked import FETCHED, UNACKED

from .scheduler import Scheduler
from .stepped_redis import names

#: Take the next message of any of the queues, and keep it as fetched.
#: KEYS: unacked, its index, lists of messages. ARGV: now, this delivery's tag, then the queue of each list.
#: Reply: it, its queue.
FETCH = """
for at = 3, #KEYS do
  local text = redis.call('RPOP', KEYS[at])
  if text then
    local tag = ARGV[2]
    local first, last = string.find(text, cjson.decode(text).properties.delivery_tag, 1, true)
    text = string.sub(text, 1, first - 1) .. tag .. string.sub(text, last + 1)
    redis.call('ZADD', KEYS[2], ARGV[1], tag)
    redis.call('HSET', KEYS[1], tag, '[' .. text .. ', "", "' .. ARGV[at] .. '"]')
    return {text, ARGV[at]}
  end
end
"""


FETCHING = sha1(FETCH.encode(), usedforsecurity=False).hexdigest()
names[FETCHING] = "fetch"


@dataclass(frozen=True)
class Received:
    """A message that a worker has fetched, with what its heartbeat and Celery's tracer read of it."""

    text: str
    queue: str

    @cached_property
    def plain(self) -> Any:
        return json.loads(self.text)

    @cached_property
    def tag(self) -> str:
        return str(self.plain["properties"]["delivery_tag"])

    @property
    def delivery_tag(self) -> str:
        """The same, as Celery's `Request.message` has it."""
        return self.tag

    @property
    def message(self) -> Received:
        return self

    @property
    def id(self) -> str:
        return str(self.plain["headers"]["id"])

    @property
    def task(self) -> str:
        return str(self.plain["headers"]["task"])

    @cached_property
    def payload(self) -> tuple[list[Any], dict[str, Any], Mapping[str, Any]]:
        args, kwargs, embed = json.loads(base64.b64decode(self.plain["body"]))
        return args, kwargs, embed

    @property
    def kwargs(self) -> dict[str, Any]:
        return self.payload[1]

    @property
    def due(self) -> float | None:
        """When it is to be worked on, if not at once."""
        eta = self.plain["headers"].get("eta")
        return datetime.fromisoformat(eta).timestamp() if eta else None

    def request(self, hostname: str) -> dict[str, Any]:
        """What Celery's worker hands to the tracer (`celery.worker.request.Request.execute`, celery 5.7)."""
        plain, (args, kwargs, embed) = self.plain, self.payload
        properties = plain["properties"]
        info = {**properties["delivery_info"], "redelivered": plain["headers"].get("redelivered", False)}
        return {
            **plain["headers"],
            "properties": properties,
            "reply_to": properties.get("reply_to"),
            "correlation_id": properties.get("correlation_id"),
            "hostname": hostname,
            "args": args,
            "kwargs": kwargs,
            "delivery_info": info,
            "is_eager": False,
            **embed,
        }

    def __str__(self) -> str:
        kwargs = self.kwargs
        told = [self.task.rpartition(".")[2], str(kwargs.get("node", ""))]
        told += [f"batch {kwargs['batch']}"] if "batch" in kwargs else []
        told += [f"round {kwargs['round']}"] if kwargs.get("round") else []
        return " ".join(told) + f" ({self.tag[:4]})"


def fetch(client: redis.Redis, queues: tuple[str, ...], now: float) -> Received | None:
    """The next message, which stays among those that were fetched until it is acknowledged."""
    lists = [(list_of(queue, level), queue) for level in LEVELS for queue in queues]
    found = client.evalsha(
        FETCHING,
        2 + len(lists),
        UNACKED,
        FETCHED,
        *(key for key, _ in lists),
        now,
        str(uuid4()),
        *(queue for _, queue in lists),
    )
    return Received(str(found[0]), str(found[1])) if found else None


def acknowledge(client: redis.Redis, message: Received) -> None:
    """Be done with a message."""
    with client.pipeline() as pipe:
        pipe.zrem(FETCHED, message.tag)
        pipe.hdel(UNACKED, message.tag)
        pipe.execute()


#: What kombu's `Channel._restore` does in a transaction.
#: KEYS: unacked, its index, queue. ARGV: tag, the message.
REQUEUE = """
redis.call('ZREM', KEYS[2], ARGV[1])
if redis.call('HDEL', KEYS[1], ARGV[1]) == 0 then return 0 end
redis.call('RPUSH', KEYS[3], ARGV[2])
return 1
"""


def requeue(client: redis.Redis, message: Received) -> None:
    """Put a message back, to be fetched next (kombu keeps its delivery tag)."""
    plain = json.loads(message.text)
    plain["headers"]["redelivered"] = True
    plain["properties"]["delivery_info"]["redelivered"] = True
    client.eval(REQUEUE, 3, UNACKED, FETCHED, message.queue, message.tag, json.dumps(plain))


class Post:
    """What becomes of messages on their way into a queue."""

    def __init__(self, world: Scheduler) -> None:
        self.world = world
        self.next_is: list[str] = []  #: what happens to the next ones: lost, doubled, late
        self.faults: Any = None

    def put(self, channel: Channel, queue: str, message: dict[str, Any], **options: Any) -> None:
        """In the place of kombu's `Channel._put`. Messages of a group, which it sends together, go singly."""
        options.pop("_publish_batch", None)
        told = Received(json.dumps(message), queue)
        self.world.step(f"send {told}")
        self.faults.redis_call(True)
        fate = self.next_is.pop() if self.next_is and self.world.current else ""
        if fate:
            self.world.note("broker", f"that message is {fate}")
        match fate:
            case "lost":
                return
            case "late":
                key = channel._q_for_pri(queue, channel._get_message_priority(message, reverse=False))
                self.world.spawn("a message", lambda: self._arrive(key, told), after=15.0)
                return
            case "doubled":
                _put(channel, queue, message)
                message = json.loads(json.dumps(message))
                message["properties"]["delivery_tag"] += "-again"
        _put(channel, queue, message, **options)
        self.faults.mail_came()

    def _arrive(self, key: str, message: Received) -> None:
        self.world.step(f"arrives late: {message}")
        self.faults.raw.lpush(key, message.text)
        self.faults.mail_came()


_put = Channel._put
