"""Completes commands, options, pipelines, parameters, runs and nodes in a shell.

The scripts for the shells call the hidden command `complete` with the words so far. It imports no module of
the user's: pipelines are found in the text of their modules.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterator, Mapping, Sequence
from enum import StrEnum
from importlib.machinery import PathFinder
from importlib.util import find_spec
from pathlib import Path
from typing import Annotated

import typer

from orchestrator.cli.commands import COMMANDS, LazyGroup, app
from orchestrator.settings import settings

#: Runs that are offered.
OFFERED = 50
#: What the positions of a command stand for.
ARGUMENTS: Mapping[str, tuple[str, ...]] = {
    "run": ("pipeline",),
    "compile": ("pipeline",),
    "pipelines": ("pipeline",),
    "show": ("run",),
    "logs": ("run", "node"),
    "output": ("run", "node"),
    "cancel": ("run",),
    "resume": ("run",),
    "compare": ("run", "run"),
    "worker": ("queue",) * 8,
}
#: What the values of options stand for.
VALUES: Mapping[str, str] = {
    "--like": "run",
    "--pipeline": "pipeline",
    "--state": "state",
    "-p": "parameter",
    "--parameter": "parameter",
}


class Shell(StrEnum):
    """A shell that can complete."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


_SCRIPTS: Mapping[Shell, str] = {
    Shell.BASH: """_orchestrator() {
    local IFS=$'\\n'
    COMPREPLY=($(orchestrator complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
    [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *= ]] && compopt -o nospace
}
complete -o default -F _orchestrator orchestrator""",
    Shell.ZSH: """#compdef orchestrator
_orchestrator() {
    local -a found
    found=("${(@f)$(orchestrator complete -- "${(@)words[2,$CURRENT]}" 2>/dev/null)}")
    compadd -Q -- $found
}
compdef _orchestrator orchestrator""",
    Shell.FISH: """complete -c orchestrator -f -a \\
    '(orchestrator complete -- (commandline -opc)[2..] (commandline -ct) 2>/dev/null)'""",
}


def completion(shell: Annotated[Shell, typer.Argument(help="The shell that the script is for.")]) -> None:
    """Print the script with which a shell completes commands, pipelines, parameters, runs and nodes."""
    print(_SCRIPTS[shell])


def complete(words: Annotated[list[str] | None, typer.Argument(help="The words so far.")] = None) -> None:
    """Print what the last word may become, a line each."""
    try:
        found = list(candidates(words or [""]))
    except Exception:  # noqa: BLE001 - a shell that completes shows no errors
        return
    if found:
        print("\n".join(found))


def candidates(words: Sequence[str]) -> Iterator[str]:
    """What the last of these words may become; those before it are complete."""
    *before, current = words
    if not before:
        yield from _beginning(current, COMMANDS)
        return
    name, previous = before[0], before[-1]
    if name not in COMMANDS:
        return
    if previous in VALUES and len(before) > 1:
        yield from _offers(VALUES[previous], current, before)
    elif current.startswith("-"):
        yield from _beginning(current, _options(name))
    else:
        given = [word for word in _arguments(before[1:]) if word]
        kinds = ARGUMENTS.get(name, ())
        if len(given) < len(kinds):
            yield from _offers(kinds[len(given)], current, [name, *given])


def _offers(kind: str, current: str, before: Sequence[str]) -> Iterator[str]:
    offers: Mapping[str, Callable[[], Iterator[str]]] = {
        "pipeline": lambda: iter(sorted(pipelines_in_text())),
        "run": _runs,
        "node": lambda: _nodes(before[1]),
        "queue": lambda: iter(settings().queues),
        "state": _states,
        "parameter": lambda: (f"{name}=" for name in pipelines_in_text().get(_pipeline(before), ())),
    }
    return _beginning(current, offers[kind]())


def _beginning(current: str, offers: object) -> Iterator[str]:
    return (each for each in offers if each.startswith(current))  # type: ignore[attr-defined]


def _arguments(words: Sequence[str]) -> Iterator[str]:
    """The words that are neither options nor values of options that take one, as far as can be seen."""
    previous = ""
    for word in words:
        if not word.startswith("-") and previous not in VALUES:
            yield word
        previous = word


def _pipeline(before: Sequence[str]) -> str:
    return next(_arguments(before[1:]), "")


def _options(name: str) -> Iterator[str]:
    group = typer.main.get_command(app)
    assert isinstance(group, LazyGroup)  # noqa: S101 - it is made so
    command = group.get_command(typer.Context(group), name)
    for parameter in command.params if command is not None else ():
        yield from (option for option in parameter.opts if option.startswith("--"))
    yield "--help"


def _runs() -> Iterator[str]:
    from orchestrator.client.run_lookup import Records  # loads what reads Redis and the store

    yield "latest"
    yield from Records.open().ids(OFFERED)


def _nodes(run: str) -> Iterator[str]:
    from orchestrator.archive.specification import Specification
    from orchestrator.client.run_lookup import Records

    records = Records.open()
    return (node.name for node in Specification.read(records.store, records.resolve(run)).graph.everything)


def _states() -> Iterator[str]:
    from orchestrator.client.run_filter import STATES

    return iter(STATES)


def pipelines_in_text() -> dict[str, tuple[str, ...]]:
    """The pipelines of the settings' modules with their parameters, as their text has them."""
    found: dict[str, tuple[str, ...]] = {}
    for module in settings().modules:
        for file in _files_of(module):
            found |= dict(_pipelines_of(file.read_text(encoding="utf-8", errors="replace")))
    return found


def _files_of(module: str) -> Iterator[Path]:
    """The files of a module and, for a package, of all in it; the working folder comes first."""
    first, *rest = module.split(".")
    spec = PathFinder.find_spec(first, [str(Path.cwd())]) or find_spec(first)
    if spec is None or spec.origin is None:
        return
    origin = Path(spec.origin)
    if origin.name != "__init__.py":
        yield origin
        return
    place = origin.parent.joinpath(*rest)
    yield from [place.with_suffix(".py")] if place.with_suffix(".py").is_file() else place.rglob("*.py")


def _pipelines_of(text: str) -> Iterator[tuple[str, tuple[str, ...]]]:
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and any(map(_is_pipeline, node.decorator_list)):
            arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            yield node.name, tuple(each.arg for each in arguments)


def _is_pipeline(decorator: ast.expr) -> bool:
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
    return name == "pipeline"
