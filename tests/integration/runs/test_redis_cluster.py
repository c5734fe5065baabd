"""A Redis with cluster mode on: each transition touches the keys of one run, which live in one hash slot."""

from __future__ import annotations

import shlex
from collections.abc import Iterator
from importlib.resources import files

import pytest
import redis
from redis.client import Monitor
from redis.crc import key_slot
from redis.exceptions import ResponseError

from orchestrator.authoring.progress import Progress
from orchestrator.runs.connection import connect
from orchestrator.runs.scripts import source
from orchestrator.runs.states import RunState
from orchestrator.runs.values import AttemptProgress, DoneItem
from orchestrator.stack.ports import free_port
from orchestrator.stack.redis_program import find_redis
from tests.harness.services import start
from tests.harness.waiting import holds, wait_until

from .conftest import Desk, names

pytestmark = pytest.mark.stack

SLOTS = 16384
LUA = {file.name.removesuffix(".lua") for file in (files("orchestrator.runs") / "lua").iterdir()}


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[redis.Redis]:
    """A cluster of one node that has all the slots."""
    folder = tmp_path_factory.mktemp("cluster")
    port = free_port(23000)  # its bus listens 10000 above
    options = {
        "port": port,
        "bind": "127.0.0.1",
        "dir": folder,
        "save": "",
        "cluster-enabled": "yes",
        "cluster-config-file": folder / "nodes.conf",
    }
    command = [str(part) for name, value in options.items() for part in (f"--{name}", value)]
    service = start([str(find_redis()), *command], folder / "redis.log", {})
    client = connect(f"redis://127.0.0.1:{port}")

    def is_ready() -> bool:
        return str(client.execute_command("CLUSTER INFO")["cluster_state"]) == "ok"

    try:
        assert holds(client.ping, 60), "redis does not listen"
        client.execute_command("CLUSTER ADDSLOTS", *range(SLOTS))
        wait_until(is_ready, "the cluster has all slots")
        yield client
    finally:
        client.close()
        service.stop()


def told_by(monitor: Monitor) -> Iterator[tuple[bool, list[str]]]:
    """The commands since the monitor began, up to an ECHO; and whether a script has called them."""
    while True:
        line = str(monitor.connection.read_response())
        place, _, text = line.partition("] ")
        words = shlex.split(text)
        if words[0] == "ECHO":
            return
        yield place.endswith(" lua"), words


def play(desk: Desk) -> None:
    """Every transition that there is."""
    runs, run = desk.runs, desk.run
    m, a, b, c, z = names(*"mabcz")
    desk.submit(6, needs="az,bz", w=2)
    token = desk.begin("a")
    runs.retry(run, a, token, error="E", traceback="…", wait=0.0)
    runs.resend(run, a, due=0.0)
    assert desk.commit("a", needed_by="z").accepted
    assert desk.claim("z")[0].status == "early"
    runs.detach(run, z)
    holder = desk.holder("b")
    runs.claim(run, b, holder)
    runs.set_progress(run, b, holder.token, AttemptProgress(1, Progress(done=1)))
    assert runs.renew_and_look(run, holder.delivery, b) == (True, Progress(done=1))
    assert runs.mark_lost(run, holder.delivery, error="lost") == 1
    assert desk.fail("b", desk.begin("b"), descendants="z").accepted
    assert runs.skip(run, c, desk.begin("c")).accepted
    assert desk.expand("m", 3).accepted
    share = desk.holder("share")
    (index,) = desk.take("m", share).items
    assert runs.call_batch(run, m, 0, share.token, redelivered=False) == 1
    assert runs.return_items(run, m, share.token, [index]) == 2
    (index,) = desk.take("m", share).items
    assert runs.commit_items(run, m, share.token, [DoneItem(index=index, began=0.2, ended=0.1)]).accepted
    assert runs.remember(run, "key", "first") == runs.remember(run, "key", "second") == "first"
    assert runs.cancel(run) is not None
    desk.reopen(1, "a")
    assert desk.reader.open_runs() == [run]
    desk.commit("other-0")
    assert desk.reader.unconcluded_runs() == [run]
    ended = desk.reader.end(run)
    assert ended is not None
    assert runs.conclude(run, ended, mlflow_run_id=None, retention=60)
    assert desk.reader.state(run) is RunState.SUCCEEDED
    assert desk.reader.open_runs() == desk.reader.unconcluded_runs() == []
    assert runs.forget(run)
    assert not desk.reader.knows(run)


def test_every_transition_touches_the_keys_of_its_run_alone(cluster: redis.Redis) -> None:
    desk = Desk(cluster)
    with cluster.monitor() as monitor:
        play(desk)
        cluster.echo("that is all")
        commands = list(told_by(monitor))
    digests = {words[1] for _, words in commands if words[0] == "EVALSHA"}
    transitions = LUA - {"prelude", "lead", "step_down"}  # these two are of no run
    played = {name for name in transitions if cluster.register_script(source(name)).sha in digests}
    assert played == transitions
    called = [words for from_lua, words in commands if from_lua and words[0] not in ("TIME", "INFO")]
    keys = {key for words in called for key in cluster.execute_command("COMMAND GETKEYS", *words)}
    assert {key_slot(key.encode()) for key in keys} == {key_slot(desk.keys.base.encode())}, keys


def test_such_a_redis_refuses_what_touches_two_slots(cluster: redis.Redis) -> None:
    with pytest.raises(ResponseError, match="same slot"):
        cluster.eval("return 0", 2, "one", "another")
