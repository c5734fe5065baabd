"""Kombu's Redis transport with the levels of a queue, fixed to survive the loss of the connection.

With Celery 5.7 and kombu 5.7, a worker ends if Redis becomes unavailable while it processes messages. Celery
collects the broken connection and then closes it (`Consumer.on_connection_error_after_connected`). The
channel, whose first closing failed, is closed again without its transport, tries to restore the fetched
messages, and raises AttributeError, which is not handled. Acknowledging one of those messages later raises it
too. Remove `disconnect` and what it needs when kombu discards broken channels by itself.
"""

from __future__ import annotations

import logging
from contextlib import suppress
from typing import TYPE_CHECKING
from uuid import uuid4

from celery import signals
from celery.app.amqp import AMQP
from kombu import Connection
from kombu.connection import ConnectionPool, PooledConnection
from kombu.transport import redis
from kombu.utils.encoding import bytes_to_str
from redis.exceptions import RedisError, ResponseError

from orchestrator.messaging.envelope import BadMessage, Raw, check, check_command, check_task, read
from orchestrator.messaging.priorities import LEVELS, level_of, list_of, order_of_read
from orchestrator.settings import settings

if TYPE_CHECKING:
    from collections.abc import Callable
    from socket import socket

    from kombu.transport.virtual import Channel
    from redis import Redis
    from redis.connection import Connection as RedisConnection

log = logging.getLogger(__name__)

#: Suffix of the queues from which workers read the commands of `celery control`, and of those for replies.
_COMMANDS, _REPLIES = ".celery.pidbox", ".reply.celery.pidbox"


class ResilientChannel(redis.Channel):
    """A channel that can drop its connection, and whose messages can still be acknowledged."""

    priority_steps = LEVELS
    _sender: Redis | None = None
    _reads = 0
    _in_poll: RedisConnection | bool | None  #: the connection that waits for a message
    _reader: int | None = None  #: the number by which Redis knows the connection of blocking reads
    _reader_socket: socket | None = None  #: of that connection, which is made anew when it breaks

    def _get_message_priority(self, message: Raw, reverse: bool = False) -> int:
        """Return the level of a message."""
        del reverse
        return level_of(message)

    def _q_for_pri(self, queue: str, pri: int) -> str:
        """Return the list that holds a queue's messages of a level."""
        return list_of(queue, pri)

    def _brpop_start(self, timeout: float | None = None) -> None:
        """Begin a blocking read; now and then one that looks for batches, or conclusions, before nodes."""
        self._reads += 1
        self.priority_steps = order_of_read(self._reads)
        if self.client.connection._sock is not self._reader_socket:
            self._meet_reader(self.client.connection)
        super()._brpop_start(timeout)

    def _meet_reader(self, connection: RedisConnection) -> None:
        """Ask for the number by which Redis knows a connection of blocking reads, once it is made."""
        self._reader, self._reader_socket = None, connection._sock
        connection.send_command("CLIENT", "ID")  # type: ignore[no-untyped-call]
        with suppress(ResponseError):  # this user may not: it waits
            self._reader = int(connection.read_response())

    def close(self) -> None:
        """Close it, without waiting until the blocking read times out: Redis is asked to end it."""
        if self._in_poll and self._reader is not None:
            with suppress(RedisError):
                self._create_client().client_unblock(self._reader)
        super().close()

    def disconnect(self) -> None:
        """Drop a broken connection without restoring the fetched messages.

        Restoring them would redeliver messages whose stages still run. The supervisor requeues those that are
        not processed any more. The pool connects again for an acknowledgement.
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
        """Reuse one client to send and acknowledge: kombu's new client per call costs more than the call."""
        known = None if asynchronous else self._sender
        if known is not None and known.connection_pool is self.pool:
            return known
        client: Redis = super()._create_client(asynchronous)
        if not asynchronous:
            self._sender = client
        return client

    def _brpop_read(self, **options: object) -> bool:
        """Deliver the message of a blocking read; kombu would raise if it is not JSON."""
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
        """Deliver a broadcast message: a command, or an event.

        Kombu reads without a timeout when the event loop reports data. If a command that Celery could not
        handle has made it reconnect meanwhile, it would block here until the next command.
        """
        if not (client.connection and client.connection.can_read(timeout=0)):
            raise redis.Empty
        try:
            return bool(super()._receive_one(client))
        except RecursionError:
            refuse(self, None, "a channel of commands", BadMessage("it is nested too deeply"))
            raise redis.Empty from None

    def _get(self, queue: str) -> Raw:
        """Return the next message of a queue without blocking; refuse malformed ones."""
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
    """Discards the channels of a connection that is broken, or that was inherited through a fork.

    Refuses messages that would end the worker.
    """

    Channel = ResilientChannel

    def deliver_text(self, text: bytes | str, queue: str) -> None:
        """Deliver a message to the consumer of its queue, or refuse it."""
        try:
            raw = read(text)
        except BadMessage as error:
            refuse(self, text, queue, error)
        else:
            _tag_anew(raw)
            self._deliver(raw, queue)

    def _deliver(self, message: Raw, queue: str) -> None:
        """Deliver or refuse a message that is already parsed, such as a broadcast."""
        try:
            check_of(queue)(message)
        except BadMessage as error:
            refuse(self, message, queue, error)
        else:
            super()._deliver(message, queue)

    def _collect(self, connection: object) -> None:
        """Discard the channels; `Connection.collect` calls this, if it exists, instead of closing them."""
        del connection
        self.cycle.close()
        for channel in {*self._avail_channels, *self.channels}:
            channel.disconnect()
        self._avail_channels.clear()
        self.channels.clear()


def _tag_anew(message: Raw) -> None:
    """Give this delivery a unique tag, since the tag identifies the holder of its lease.

    A Redis that has lost its last second delivers a fetched message again with the same tag.
    """
    properties = message.get("properties")
    if isinstance(properties, dict) and isinstance(properties.get("delivery_tag"), str):
        properties["delivery_tag"] = str(uuid4())


def check_of(queue: str) -> Callable[[Raw], None]:
    """Return the check for the messages of a queue."""
    if queue in settings().queues:
        return check_task
    return check_command if queue.endswith(_COMMANDS) and not queue.endswith(_REPLIES) else check


def refuse(sender: redis.Transport | Channel, message: object, queue: str, error: BadMessage) -> None:
    """Log and signal a refused message. It is in no queue any more and is not acknowledged."""
    extra = {"action": "message_refused", "queue": queue}
    log.error("a message in %s is refused: %s", queue, error, extra=extra)
    signals.task_rejected.send(sender=sender, message=message, exc=error)


class ResilientConnection(Connection):
    """A connection with this transport, under kombu's own transport names in URLs, logs and Flower."""

    def get_transport_cls(self) -> type:
        """Return the transport class; for Redis, ours instead of kombu's."""
        chosen: type = super().get_transport_cls()
        return ResilientTransport if chosen is redis.Transport else chosen

    def ensure_connection(self, *args: object, **options: object) -> Connection:
        """Connect, with waits of at most 5 s between retries; kombu's grow to half a minute."""
        waits = {"interval_start": 0.5, "interval_step": 0.5, "interval_max": 5.0}
        return super().ensure_connection(*args, **{**waits, **options})

    def Pool(self, limit: int | None = None, **options: object) -> ConnectionPool:  # noqa: N802 - kombu's name
        """Return a pool of such connections; those of kombu's pool would have its own transport."""
        return _Pool(self, limit, **options)


class _PooledConnection(ResilientConnection, PooledConnection):
    """A connection of a pool, closed after an error."""


class _Pool(ConnectionPool):
    def new(self) -> _PooledConnection:
        return _PooledConnection(self, **dict(self.connection._info(resolve=False)))


class Protocol(AMQP):
    """The application's AMQP class, with our connection."""

    Connection = ResilientConnection
