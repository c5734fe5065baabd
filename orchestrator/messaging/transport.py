"""Celery's way to Redis as a broker, which outlives the loss of the connection.

Celery 5.7 and kombu 5.7 do not, whenever messages are being worked on while Redis is away: the worker ends.
Celery collects the broken connection and then closes it (`Consumer.on_connection_error_after_connected`).
The channel, whose first closing failed, is closed once more without its transport, tries to put the fetched
messages back, and raises AttributeError, which nobody expects. Acknowledging one of those messages later
raises it, too. This goes when kombu lets go of broken channels by itself.
"""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING
from uuid import uuid4

from celery import signals
from celery.app.amqp import AMQP
from kombu import Connection
from kombu.transport import redis
from kombu.utils.encoding import bytes_to_str

from orchestrator.messaging.envelope import BadMessage, Raw, check, check_command, check_task, read
from orchestrator.settings import settings

if TYPE_CHECKING:
    from collections.abc import Callable

    from kombu.transport.virtual import Channel
    from redis import Redis

log = logging.getLogger(__name__)

#: How the queues end in which workers find the commands of `celery control`.
_COMMANDS = ".celery.pidbox"


class ResilientChannel(redis.Channel):
    """A channel whose connection can be forgotten, and whose messages can be acknowledged all the same."""

    _sender: Redis | None = None

    def disconnect(self) -> None:
        """The connection is broken: forget it, and leave the fetched messages to those who work on them.

        Putting them back would have them delivered while their stages still run. What nobody works on any
        more is requeued by the supervisor. The pool connects anew for whoever acknowledges a message.
        """
        self._in_poll = self._in_listen = None
        self._closing = self.closed = True
        if self._qos is not None:
            self._qos._on_collect.cancel()
        for pool in (self._pool, self._async_pool):
            if pool is not None:
                pool.disconnect()
        self._close_clients()

    def _create_client(self, asynchronous: bool = False) -> Redis:
        """One client sends and acknowledges: kombu makes one each time, which takes longer than the call."""
        known = None if asynchronous else self._sender
        if known is not None and known.connection_pool is self.pool:
            return known
        client: Redis = super()._create_client(asynchronous)
        if not asynchronous:
            self._sender = client
        return client

    def _brpop_read(self, **options: object) -> bool:
        """Hand over the message that a blocking read has found; kombu would raise for what is no JSON."""
        client = self.client
        try:
            try:
                found = client.parse_response(client.connection, "BRPOP", **options)
            except self.connection_errors:
                client.connection.disconnect()
                raise
            if not found:
                raise redis.Empty
            queue = bytes_to_str(found[0]).rsplit(self.sep, 1)[0]
            self._queue_cycle.rotate(queue)
            self.connection.deliver_text(found[1], queue)
            return True
        finally:
            self._in_poll = None
            self._flush_brpop_reauth()

    def _receive_one(self, client: redis.Channel) -> bool:
        """The same for what is sent to all workers at once: a command, or an event.

        kombu reads where the event loop saw something; a command that Celery could not handle has it connect
        anew meanwhile, and it would wait there for the next command, and do nothing else.
        """
        if not (client.connection and client.connection.can_read(timeout=0)):
            raise redis.Empty
        try:
            return bool(super()._receive_one(client))
        except RecursionError:
            refuse(self, None, "a channel of commands", BadMessage("it is nested too deeply"))
            raise redis.Empty from None

    def _get(self, queue: str) -> Raw:
        """The next message of a queue, without blocking; what cannot be understood is passed over."""
        with self.conn_or_acquire() as client:
            for priority in self.priority_steps:
                while item := client.rpop(self._q_for_pri(queue, priority)):
                    try:
                        raw = read(item)
                        check(raw)
                    except BadMessage as error:
                        refuse(self, item, queue, error)
                    else:
                        self._maybe_update_queues_expire(client, queue)
                        return raw
            self._maybe_update_queues_expire(client, queue)
        raise redis.Empty


class ResilientTransport(redis.Transport):
    """Lets go of the channels of a connection that is broken, or that was inherited by a fork.

    Refuses messages that Celery would not survive.
    """

    Channel = ResilientChannel

    def deliver_text(self, text: bytes | str, queue: str) -> None:
        """Hand a message over to who consumes its queue, or refuse it."""
        try:
            raw = read(text)
        except BadMessage as error:
            refuse(self, text, queue, error)
        else:
            _tag_anew(raw)
            self._deliver(raw, queue)

    def _deliver(self, message: Raw, queue: str) -> None:
        """The same for a message that is no text any more, as those that are sent to all."""
        try:
            check_of(queue)(message)
        except BadMessage as error:
            refuse(self, message, queue, error)
        else:
            super()._deliver(message, queue)

    def _collect(self, connection: object) -> None:
        """What `Connection.collect` calls, if there is such a method, instead of closing the channels."""
        del connection
        self.cycle.close()
        for channel in {*self._avail_channels, *self.channels}:
            channel.disconnect()
        self._avail_channels.clear()
        self.channels.clear()


def _tag_anew(message: Raw) -> None:
    """Tell this delivery of a message from every other: its lease is held by the tag.

    A Redis that comes back without its last second hands out again what a worker has fetched, tag and all.
    """
    properties = message.get("properties")
    if isinstance(properties, dict) and isinstance(properties.get("delivery_tag"), str):
        properties["delivery_tag"] = str(uuid4())


def check_of(queue: str) -> Callable[[Raw], None]:
    """What has to hold of the messages in a queue."""
    if queue in settings().queues:
        return check_task
    return check_command if queue.endswith(_COMMANDS) else check


def refuse(sender: redis.Transport | Channel, message: object, queue: str, error: BadMessage) -> None:
    """Say that a message is not taken. It is in no queue any more, and nobody acknowledges it."""
    extra = {"action": "message_refused", "queue": queue}
    log.error("a message in %s is refused: %s", queue, error, extra=extra)
    signals.task_rejected.send(sender=sender, message=message, exc=error)


class ResilientConnection(Connection):
    """A connection with that transport, under the names of kombu's own in URLs, logs and Flower."""

    def get_transport_cls(self) -> type:
        """The class of the transport: ours in the place of kombu's for Redis."""
        chosen: type = super().get_transport_cls()
        return ResilientTransport if chosen is redis.Transport else chosen

    def ensure_connection(self, *args: object, **options: object) -> Connection:
        """Connect, however long it takes; kombu's waits grow to half a minute, while work lies there."""
        waits = {"interval_start": 0.5, "interval_step": 0.5, "interval_max": 5.0}
        return super().ensure_connection(*args, **{**waits, **options})


class Protocol(AMQP):
    """How the application speaks to its broker."""

    Connection = ResilientConnection
