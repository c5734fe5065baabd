"""The connection to the broker: what was fetched is acknowledged whatever became of Redis meanwhile."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator, Mapping

import pytest
import redis
from kombu import Consumer, Message, Producer, Queue

from orchestrator.messaging.priorities import CONCLUSIONS, DEFAULT_LEVEL, LEVEL, LEVELS, list_of
from orchestrator.messaging.transport import ResilientConnection
from orchestrator.messaging.unacked import requeue_message
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


def fetch(connection: ResilientConnection, headers: Mapping[str, object] | None = None) -> Message:
    """Send a message to a queue and fetch it."""
    channel, found = connection.default_channel, []
    queue = Queue("work", channel=channel)
    Producer(channel, serializer="json").publish(
        "to do", routing_key="work", declare=[queue], headers=headers
    )
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


@pytest.mark.parametrize("allowed", [True, False])
def test_closing_waits_for_a_blocking_read_only_where_redis_refuses_to_end_it(
    own_redis: RedisServer, allowed: bool
) -> None:
    client = connect(own_redis.url)
    if not allowed:
        client.execute_command("ACL SETUSER default -client|id")
    connection = ResilientConnection(own_redis.url, transport_options={"polling_interval": 2})
    channel = connection.default_channel
    with Consumer(channel, [Queue("work", channel=channel)]), pytest.raises(TimeoutError):
        connection.drain_events(timeout=0.1)
    begun = time.monotonic()
    connection.close()
    assert (time.monotonic() - begun < 1.0) is allowed
    client.lpush("work", "a message that nobody takes")
    assert client.llen("work") == 1
    client.close()


@pytest.mark.parametrize("level", [LEVELS[0], DEFAULT_LEVEL, CONCLUSIONS])
def test_a_requeued_message_goes_to_the_list_that_it_came_from(own_redis: RedisServer, level: int) -> None:
    connection = ResilientConnection(own_redis.url)
    fetch(connection, {LEVEL: level})
    client = connect(own_redis.url)
    ((tag, text),) = client.hgetall("unacked").items()
    assert requeue_message(client, str(tag), json.loads(text)[0], "work")
    lengths = {each: client.llen(list_of("work", each)) for each in LEVELS}
    assert lengths == {each: int(each == level) for each in LEVELS}
    client.close()
    connection.collect()
