"""Load and call the Lua transitions: each is `lua/NAME.lua` preceded by the shared prelude."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import TYPE_CHECKING

from orchestrator.runs.keys import RunKeys

if TYPE_CHECKING:
    from redis import Redis
    from redis.commands.core import Script


@cache
def read_script(name: str) -> str:
    """Return the text of `lua/NAME.lua`."""
    return (files("orchestrator.runs") / "lua" / f"{name}.lua").read_text(encoding="utf-8")


@cache
def source(name: str) -> str:
    """Return the text of one transition, including the prelude."""
    return f"{read_script('prelude')}\n{read_script(name)}"


class LuaScripts:
    """Runs transitions on one Redis; each script is loaded once and then called by its digest (EVALSHA)."""

    def __init__(self, client: Redis) -> None:
        self._client = client
        self._scripts: dict[str, Script] = {}

    def __call__(self, name: str, keys: RunKeys, *arguments: str | int | float) -> list[str]:
        """Run `lua/NAME.lua` on the keys of one run; return the reply as strings."""
        script = self._scripts.get(name)
        if script is None:
            script = self._scripts[name] = self._client.register_script(source(name))
        reply = script(keys=[keys.base], args=arguments)
        return [str(part) for part in reply] if isinstance(reply, list) else [str(reply)]
