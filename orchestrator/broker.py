"""Celery's way to Redis as a broker, which outlives the loss of the connection.

Celery 5.7 and kombu 5.7 do not, whenever messages are being worked on while Redis is away: the worker ends.
Celery collects the broken connection and then closes it (`Consumer.on_connection_error_after_connected`).
The channel, whose first closing failed, is closed once more without its transport, tries to put the fetched
messages back, and raises AttributeError, which nobody expects. Acknowledging one of those messages later
raises it, too. This goes when kombu lets go of broken channels by itself.
"""

from __future__ import annotations

from celery.app.amqp import AMQP
from kombu import Connection
from kombu.transport import redis


class LastingChannel(redis.Channel):
    """A channel that can be let go of, and whose messages can be acknowledged all the same."""

    def let_go(self) -> None:
        """The connection is broken: forget it, and leave the fetched messages to those who work on them.

        Putting them back would have them delivered while their stages still run. What nobody works on any
        more is handed back by the supervisor. The pool connects anew for whoever acknowledges a message.
        """
        self._in_poll = self._in_listen = None
        self._closing = self.closed = True
        if self._qos is not None:
            self._qos._on_collect.cancel()
        for pool in (self._pool, self._async_pool):
            if pool is not None:
                pool.disconnect()
        self._close_clients()


class LastingTransport(redis.Transport):
    """Lets go of the channels of a connection that is broken, or that was inherited by a fork."""

    Channel = LastingChannel

    def _collect(self, connection: object) -> None:
        """What `Connection.collect` calls, if there is such a method, instead of closing the channels."""
        del connection
        self.cycle.close()
        for channel in {*self._avail_channels, *self.channels}:
            channel.let_go()
        self._avail_channels.clear()
        self.channels.clear()


class LastingConnection(Connection):
    """A connection with that transport, under the names of kombu's own in URLs, logs and Flower."""

    def get_transport_cls(self) -> type:
        """The class of the transport: ours in the place of kombu's for Redis."""
        chosen: type = super().get_transport_cls()
        return LastingTransport if chosen is redis.Transport else chosen

    def ensure_connection(self, *args: object, **options: object) -> Connection:
        """Connect, however long it takes; kombu's waits grow to half a minute, while work lies there."""
        waits = {"interval_start": 0.5, "interval_step": 0.5, "interval_max": 5.0}
        return super().ensure_connection(*args, **{**waits, **options})


class Protocol(AMQP):
    """How the application speaks to its broker."""

    Connection = LastingConnection
