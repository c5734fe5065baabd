"""The connection to the broker: what was fetched is acknowledged whatever became of Redis meanwhile."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import redis
from kombu import Consumer, Message, Producer, Queue

from orchestrator.messaging.transport import ResilientConnection
from orchestrator.runs.connection import connect
from tests.harness.redis_server import RedisServer

pytestmark = pytest.mark.stack


@pytest.fixture
def own_redis(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    own = RedisServer(tmp_path_factory.mktemp("redis"), durable=True)
    yield own
    own.stop()


def unacknowledged(client: redis.Redis) -> int:
    return int(client.hlen("unacked"))


def fetch(connection: ResilientConnection) -> Message:
    """Send a message to a queue and fetch it."""
    channel, found = connection.default_channel, []
    queue = Queue("work", channel=channel)
    Producer(channel, serializer="json").publish("to do", routing_key="work", declare=[queue])
    with Consumer(channel, [queue], callbacks=[lambda _, message: found.append(message)], accept=["json"]):
        connection.drain_events(timeout=5)
    return found[0]


def test_a_message_is_acknowledged_after_its_connection_broke(own_redis: RedisServer) -> None:
    connection = ResilientConnection(own_redis.url)
    message = fetch(connection)
    own_redis.kill()
    connection.collect()
    connection.close()
    with pytest.raises(redis.ConnectionError):
        message.ack()
    own_redis.start_again()
    client = connect(own_redis.url)
    assert unacknowledged(client) == 1
    message.ack()
    assert unacknowledged(client) == 0
    client.close()


def test_a_message_that_is_worked_on_stays_with_its_worker_as_the_connection_breaks(
    own_redis: RedisServer,
) -> None:
    connection = ResilientConnection(own_redis.url)
    message = fetch(connection)
    connection.collect()
    connection.close()
    client = connect(own_redis.url)
    assert not client.exists("work")
    message.reject(requeue=True)
    assert client.llen("work") == 1
    assert unacknowledged(client) == 0
    client.close()


def test_a_message_that_is_handed_out_twice_is_told_apart_by_its_tags(own_redis: RedisServer) -> None:
    """As by a Redis that came back without its last second."""
    connection, client, found = ResilientConnection(own_redis.url), connect(own_redis.url), []
    channel = connection.default_channel
    queue = Queue("work", channel=channel)
    Producer(channel, serializer="json").publish("to do", routing_key="work", declare=[queue])
    client.lpush("work", str(client.lindex("work", 0)))
    channel.basic_qos(0, 2, False)
    with Consumer(channel, [queue], callbacks=[lambda _, message: found.append(message)], accept=["json"]):
        while len(found) < 2:
            connection.drain_events(timeout=5)
    assert len({message.delivery_tag for message in found}) == 2
    assert unacknowledged(client) == 2
    for message in found:
        assert message.properties["delivery_tag"] == message.delivery_tag
        message.ack()
    assert unacknowledged(client) == 0
    connection.close()
    client.close()


def test_a_connection_that_is_closed_gives_back_what_it_fetched(own_redis: RedisServer) -> None:
    connection = ResilientConnection(own_redis.url)
    fetch(connection)
    connection.close()
    client = connect(own_redis.url)
    assert client.llen("work") == 1
    client.close()
