"""Runs of which a part cannot be read, and messages that were set aside: said in a line, and no hindrance."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from redis import Redis

from orchestrator.messaging.unacked import fetched_messages, run_of
from orchestrator.redis_url import client_url
from orchestrator.run_id import RunId
from orchestrator.runs.keys import RunKeys
from tests.harness.redis_server import private_redis
from tests.harness.shell import Done

from .conftest import Shell


@dataclass(frozen=True)
class Place:
    """A command line with a Redis of its own, on which nobody works."""

    shell: Shell
    client: Redis

    def submit(self) -> RunId:
        return RunId(self.shell("run", "order", "--detach", "--json").last_json["id"])

    def file(self, run: RunId, name: str) -> Path:
        return self.shell.home / "artifacts" / "runs" / run / name

    def listed(self) -> tuple[list[str], Done]:
        done = self.shell("runs", "--json")
        assert done.status == 0, done
        return [record["id"] for record in done.last_json], done


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    with private_redis() as url:
        client = Redis.from_url(client_url(url), decode_responses=True)
        yield Place(Shell(tmp_path_factory.mktemp("unreadable"), {"REDIS_URL": url}), client)
        client.close()


@pytest.fixture(scope="module")
def good(place: Place) -> RunId:
    return place.submit()


def _cut_specification(place: Place, run: RunId) -> None:
    place.file(run, "specification.json").write_bytes(b'{"run": ')


def _lose_specification(place: Place, run: RunId) -> None:
    place.file(run, "specification.json").unlink()


def _garble_node(place: Place, run: RunId) -> None:
    place.client.hset(RunKeys(run).nodes, "price", "no JSON")


def _odd_state(place: Place, run: RunId) -> None:
    place.client.hset(RunKeys(run).meta, "state", "dancing")


def _change_type(place: Place, run: RunId) -> None:
    place.client.delete(RunKeys(run).meta)
    place.client.set(RunKeys(run).meta, "a text")


def _lose_field(place: Place, run: RunId) -> None:
    place.client.hdel(RunKeys(run).meta, "pipeline")


Damage = Callable[[Place, RunId], None]
IN_STORE: list[Damage] = [_cut_specification, _lose_specification]
IN_REDIS: list[Damage] = [_garble_node, _change_type, _odd_state, _lose_field]


def slow(damages: list[Damage]) -> list[object]:
    return [pytest.param(each, marks=pytest.mark.slow) for each in damages]


def lines(done: Done) -> list[str]:
    assert "Traceback" not in done.err
    assert "defect" not in done.err
    return [line for line in done.err.splitlines() if not line.startswith("hint: ")]


@pytest.mark.parametrize("damage", [IN_STORE[0], *slow(IN_STORE[1:])])
def test_a_run_without_its_specification_is_named_and_the_others_are_listed(
    place: Place, good: RunId, damage: Damage
) -> None:
    bad = place.submit()
    damage(place, bad)
    found, done = place.listed()
    assert good in found
    assert bad not in found
    assert [line for line in lines(done) if line.startswith(f"note: {bad} cannot be listed: ")]
    for command in ("show", "resume", "logs"):
        done = place.shell(command, bad)
        assert done.status == 2, done
        (line,) = lines(done)
        assert bad in line
    done = place.shell("cancel", bad)  # which needs nothing but Redis
    assert done.status == 0, done
    assert f"cancelled {bad}" in done.out
    assert bad in done.err
    place.client.zrem("orc:runs", bad)
    place.file(bad, "specification.json").unlink(missing_ok=True)


@pytest.mark.parametrize("damage", [*IN_REDIS[:2], *slow(IN_REDIS[2:])])
def test_a_run_that_redis_has_damaged_is_told_by_the_store_and_can_be_carried_on(
    place: Place, good: RunId, damage: Damage
) -> None:
    bad = place.submit()
    damage(place, bad)
    found, done = place.listed()
    assert {good, bad} <= set(found)
    (line,) = lines(done)
    assert f"what Redis has of run '{bad}' cannot be read" in line
    shown = place.shell("show", bad)
    assert shown.status == 0, shown
    (line,) = lines(shown)
    assert line.endswith("this is what the artifact store knows")
    place.client.delete(*place.client.scan_iter(f"orc:{{{bad}}}:*"))  # as the hint says


@pytest.mark.parametrize("command", ["cancel", "resume"])
def test_what_cannot_be_done_with_such_a_run_says_how_to_mend_it(place: Place, command: str) -> None:
    bad = place.submit()
    _change_type(place, bad)
    done = place.shell(command, bad)
    assert done.status == 2, done
    assert lines(done)[-1].startswith(f"UnreadableRun: what Redis has of run '{bad}' cannot be read")
    assert f"orc:{{{bad}}}:*" in done.err
    place.client.delete(*place.client.scan_iter(f"orc:{{{bad}}}:*"))


def test_messages_that_were_set_aside_are_named_by_the_run_or_by_the_list_of_runs(
    place: Place, good: RunId
) -> None:
    (text,) = [each for each in place.client.lrange("data", 0, -1) if run_of(json.loads(each)) == good]
    theirs = json.dumps([{**json.loads(text), "headers": {}}, "", "data"])
    assert place.client.hset("unacked", mapping={"a": theirs, "b": "garbage"}) == 2
    assert list(fetched_messages(place.client)) == []
    place.client.rpush("orc:refused", "from somebody else")

    _, done = place.listed()
    assert any("messages of no known run were set aside" in line for line in lines(done))
    assert "it is no message, exchange and queue" in done.err
    shown = place.shell("show", good)
    assert "Messages set aside" in shown.out
    other = place.submit()
    assert "Messages set aside" not in place.shell("show", other).out
