"""A real Redis whose every call is a step, and whose clock is the simulation's.

The scripts are the real ones but for three expressions: where they ask Redis for the time and for its start
they are given the simulated ones, and events are numbered by the time.
"""

from __future__ import annotations

import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import sha1
from pathlib import Path
from tempfile import mkdtemp
from typing import Any, ClassVar, cast

import redis
from redis.exceptions import ConnectionError, ResponseError

from orchestrator.runs import scripts
from orchestrator.stack.redis_program import find_redis

from .scheduler import Scheduler

_CLOCK = "redis.call('TIME')"
_SIMULATED = """(function()
  local s, us = table.remove(ARGV), table.remove(ARGV)
  ARGV.start = table.remove(ARGV)
  return {s, us}
end)()"""
_START = "string.match(redis.call('INFO', 'server'), 'run_id:(%x+)')"
_SIMULATED_START = "ARGV.start"
_EVENT_ID = "20000, '*'"
_SIMULATED_ID = "20000, string.format('%d-%d', NOW_MS, redis.call('XLEN', EVENTS) + 1)"

#: Before each transition: in a cluster it may touch keys of one slot only.
_CONFINED = """
local function call(command, key, ...)
  if key and key ~= 'server' and string.sub(key, 1, #KEYS[1]) ~= KEYS[1] then error('CROSSSLOT ' .. key) end
  return redis.call(command, key, ...)
end
"""

#: Keys that Redis ends by its own clock, within a simulation.
_SHORT_LIVED = """
local gone = 0
for _, key in ipairs(redis.call('KEYS', 'orc:worker:*')) do
  local left = redis.call('PTTL', key)
  if left >= 0 and left <= tonumber(ARGV[1]) then redis.call('DEL', key) gone = gone + 1
  elseif left >= 0 then redis.call('PEXPIRE', key, left - ARGV[1]) end
end
local left = redis.call('PTTL', 'orc:leader')
if left >= 0 and left <= tonumber(ARGV[1]) then redis.call('DEL', 'orc:leader')
elseif left >= 0 then redis.call('PEXPIRE', 'orc:leader', left - ARGV[1]) end
return gone
"""

#: Commands that a full Redis does not take.
_WRITES = {"SET", "HSET", "HSETNX", "ZADD", "SADD", "LPUSH", "RPUSH", "EVALSHA", "EVAL", "XADD", "INCR"}
#: What only the supervisor asks, of which many in a row are one step.
_HARMLESS = {"LRANGE", "INFO"}
_real_source = scripts.source.__wrapped__
names: dict[str, str] = {}  #: of scripts, by their digests
planted: list[tuple[str, str, str]] = []  #: script, what it says, and what it is to say: faults on purpose


def simulated_source(name: str) -> str:
    """A transition's text, on the simulated clock."""
    text = str(_real_source(name))
    for real, simulated in (
        (_CLOCK, _SIMULATED),
        (_START, _SIMULATED_START),
        (_EVENT_ID, _SIMULATED_ID),
    ):
        assert text.count(real) == 1, f"{name}: {real} is not there once"
        text = text.replace(real, simulated)
    for script, real, wrong in planted:
        if script in (name, "prelude"):
            assert text.count(real) == 1, f"{script}: {real} is not there once"
            text = text.replace(real, wrong)
    text = _CONFINED + text.replace("redis.call(", "call(")
    names[sha1(text.encode(), usedforsecurity=False).hexdigest()] = name
    return text


class LinkedRedis(redis.Redis):
    """A client over the one connection of this process: nobody waits on it.

    redis-py's pool, retries and metrics take longer than Redis does.
    """

    link: ClassVar[Any]

    def execute_command(self, *args: Any, **options: Any) -> Any:
        self.link.send_packed_command([_packed(args)])
        return self.parse_response(self.link, args[0], **options)

    def pipeline(self, transaction: bool = True, shard_hint: Any = None) -> Any:
        return _LinkedPipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)


class _LinkedPipeline(redis.client.Pipeline):
    def execute(self, raise_on_error: bool = True) -> list[Any]:
        commands, self.command_stack, self.scripts = list(self.command_stack), [], set()
        is_transaction = bool(vars(self)["transaction"] or self.explicit_transaction)
        asked = [(("MULTI",), {}), *commands, (("EXEC",), {})] if is_transaction else commands
        LinkedRedis.link.send_packed_command([b"".join(_packed(args) for args, _ in asked)])
        replies = [_next_reply() for _ in asked]
        if is_transaction:
            if isinstance(replies[-1], Exception):
                raise replies[-1]
            replies = replies[-1]
        replies = [
            self._understood(reply, args[0], options)
            for reply, (args, options) in zip(replies, commands, strict=True)
        ]
        for reply in replies:
            if raise_on_error and isinstance(reply, Exception):
                raise reply
        return replies

    def _understood(self, reply: Any, command: Any, options: Any) -> Any:
        callback = self.response_callbacks.get(command)
        options.pop("keys", None)  # as `Redis.parse_response` does
        return reply if isinstance(reply, Exception) or not callback else callback(reply, **options)


def _next_reply() -> Any:
    try:
        return LinkedRedis.link.read_response()
    except ResponseError as error:
        return error


class SteppedRedis(LinkedRedis):
    """A client of which each call is a step of the actor that makes it."""

    world: ClassVar[Scheduler]
    faults: ClassVar[Any]  #: what is wrong with Redis just now

    def execute_command(self, *args: Any, **options: Any) -> Any:
        world, command = self.world, str(args[0])
        if command == "TIME":
            return (int(world.now), int(world.now % 1 * 1_000_000))
        if command not in _HARMLESS:
            told = _told(args)
            _begin(world, self.faults, told, command in _WRITES and not told.startswith("fetch"))
        if command == "INFO":
            return {"uptime_in_seconds": int(world.now - self.faults.redis_up_since)}
        if command == "EVALSHA" and _is_transition(args[1]):
            now = (int(world.now % 1 * 1_000_000), int(world.now))
            args = (*args, self.faults.redis_up_since, *now)
        reply = self._answer(args, options)
        if command == "EVALSHA" and self.faults.reply_is_lost():
            world.note("redis", "the reply is lost")
            self.faults.redis_called(command, args, reply)
            if world.current is not None and not getattr(world.current.owner, "patient", False):
                raise ConnectionError("the connection is lost")
            reply = super().execute_command(*args, **options)
        if command == "SCAN":
            reply = (reply[0], sorted(reply[1]))  # else in the order of Redis's own hashes
        world.reply(reply)
        self.faults.redis_called(command, args, reply)
        return reply

    def _answer(self, args: tuple[Any, ...], options: dict[str, Any]) -> Any:
        try:
            return super().execute_command(*args, **options)
        except ResponseError as error:
            if "CROSSSLOT" in str(error):
                self.world.stop(AssertionError(str(error)))
            raise

    def pipeline(self, transaction: bool = True, shard_hint: Any = None) -> Any:
        return _SteppedPipeline(self.connection_pool, self.response_callbacks, transaction, shard_hint)


class _SteppedPipeline(_LinkedPipeline):
    def execute(self, raise_on_error: bool = True) -> list[Any]:
        world, faults = SteppedRedis.world, SteppedRedis.faults
        told = " + ".join(_told(command[0]) for command in self.command_stack)
        _begin(world, faults, told, any(command[0][0] in _WRITES for command in self.command_stack))
        reply: list[Any] = super().execute(raise_on_error)
        world.reply(reply)
        faults.redis_called("PIPELINE", (), reply)
        return reply


def _is_transition(digest: object) -> bool:
    return names.get(str(digest), "fetch") != "fetch"


def _begin(world: Scheduler, faults: Any, told: str, writes: bool) -> None:
    """One step; a worker waits for a Redis that is away as long as it takes, as redis-py does for it."""
    world.step(told)
    while faults.redis_is_away() and world.current is not None:
        world.reply("Redis is away")
        if not getattr(world.current.owner, "patient", False):
            raise ConnectionError("Redis is away")
        world.step(told, wait=0.3)
    faults.redis_call(writes)


def _packed(args: tuple[Any, ...]) -> bytes:
    """A command, as Redis reads it."""
    words = (*str(args[0]).split(), *args[1:])
    encoded = [word if isinstance(word, bytes) else str(word).encode() for word in words]
    return b"*%d\r\n" % len(words) + b"".join([b"$%d\r\n%b\r\n" % (len(each), each) for each in encoded])


def _told(args: tuple[Any, ...]) -> str:
    command = str(args[0])
    if command == "EVALSHA":
        count = int(args[2])
        return " ".join([names.get(str(args[1]), "script"), *map(str, args[3 + count :])])[:140]
    if command == "EVAL":
        return "EVAL " + " ".join(map(str, args[3:]))[:60]
    return " ".join(map(str, args))[:90]


@contextmanager
def private_server() -> Iterator[str]:
    """A Redis behind a socket; yields the socket's path. Small hashes keep the order of insertion."""
    folder = Path(mkdtemp(prefix="orchestrator-simulation-"))
    socket = folder / "redis.sock"
    small = []
    for kind in ("hash", "zset"):
        small += [f"--{kind}-max-ziplist-entries", "100000", f"--{kind}-max-ziplist-value", "1000000"]
    command = [str(find_redis()), "--port", "0", "--unixsocket", str(socket), "--save", "", *small]
    with (folder / "redis.log").open("wb") as log:
        process = subprocess.Popen([*command, "--dir", str(folder)], stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + 30
        while not socket.exists():
            assert time.monotonic() < deadline, (folder / "redis.log").read_text()
            time.sleep(0.01)
        yield str(socket)
    finally:
        process.terminate()
        process.wait()
        shutil.rmtree(folder)


def end_short_lived(plain: redis.Redis, seconds: float) -> None:
    """Let time pass for keys that end by Redis's own clock."""
    plain.eval(_SHORT_LIVED, 0, int(seconds * 1000))


def snapshot(plain: redis.Redis) -> dict[bytes, tuple[int, bytes]]:
    """All that Redis holds."""
    keys = list(plain.keys())
    with plain.pipeline(transaction=False) as pipe:
        for key in keys:
            pipe.pttl(key)
            pipe.dump(key)
        found = pipe.execute()
    pairs = zip(found[::2], found[1::2], strict=True)
    return {
        cast("bytes", key): (max(left, 0), dumped) for key, (left, dumped) in zip(keys, pairs, strict=True)
    }


def restore(plain: redis.Redis, kept: dict[bytes, tuple[int, bytes]]) -> None:
    """Have Redis hold that, and nothing else."""
    with plain.pipeline(transaction=False) as pipe:
        pipe.flushdb()
        for key, (lifetime, dumped) in kept.items():
            pipe.restore(key, lifetime, dumped)
        pipe.execute()


FULL = "command not allowed when used memory > 'maxmemory'"
