"""Completes commands, options, pipelines, parameters, runs and nodes in a shell.

The scripts for the shells call `orchestrator complete -- WORD...`, which is no command that typer knows: to
be quick it imports only what the words need. It imports no module of the user's either: pipelines are found
in the text of their modules.
"""

from __future__ import annotations

import ast
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from enum import StrEnum
from importlib.machinery import PathFinder
from importlib.util import find_spec
from itertools import islice
from pathlib import Path
from threading import Thread
from typing import Annotated, TypeAlias

import typer

from orchestrator.cli.commands import COMMANDS, LazyGroup, app
from orchestrator.cli.light_redis import import_redis

#: A pipeline's parameters by name, each with the values that it may have, if those are a few.
Parameters: TypeAlias = Mapping[str, tuple[str, ...]]

#: Runs that are offered.
OFFERED = 50
#: Seconds after which a shell does not wait any more, for a Redis or a store that does not answer.
PATIENCE = 2.0
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
#: What the values of options stand for; a shell offers files where nothing else is offered.
VALUES: Mapping[str, str] = {
    "--like": "run",
    "--pipeline": "pipeline",
    "--state": "state",
    "--format": "format",
    "-p": "parameter",
    "--parameter": "parameter",
    **dict.fromkeys(("-o", "--output", "--params"), "file"),
    **dict.fromkeys(("-n", "--limit", "--name", "--note", "--since", "--slots", "--tag"), "text"),
    **dict.fromkeys(("--grace", "--keep-last", "--older-than"), "text"),
}


class Shell(StrEnum):
    """A shell that can complete."""

    BASH = "bash"
    ZSH = "zsh"
    FISH = "fish"


# Each calls the program as it stands in the line: `.venv/bin/orchestrator` need not be on the PATH.
_SCRIPTS: Mapping[Shell, str] = {
    Shell.BASH: r"""_orchestrator() {
    local each
    COMPREPLY=()
    while IFS= read -r each; do COMPREPLY+=("$each"); done < <(
        "${COMP_WORDS[0]/#\~/$HOME}" complete -- "${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null
    )
    [[ ${#COMPREPLY[@]} == 1 && ${COMPREPLY[0]} == *= ]] && compopt -o nospace 2>/dev/null
    return 0
}
complete -o default -o nosort -F _orchestrator orchestrator 2>/dev/null ||
    complete -o default -F _orchestrator orchestrator""",
    Shell.ZSH: r"""#compdef orchestrator
_orchestrator() {
    local -a found
    found=("${(@f)$(${~words[1]} complete -- "${(@Q)words[2,$CURRENT]}" 2>/dev/null)}")
    found=(${found:#})
    if (( ! $#found )); then
        _files
        return
    fi
    compadd -V offered -S '' -- ${(M)found:#*=}
    compadd -V offered -- ${found:#*=}
}
compdef _orchestrator orchestrator""",
    Shell.FISH: r"""function __orchestrator_complete
    set -l words (commandline -opc)
    set -l current (commandline -ct)
    $words[1] complete -- $words[2..] "$current" 2>/dev/null
end
complete -c orchestrator -f -k -a '(__orchestrator_complete)'
complete -c orchestrator -F -n 'contains -- (commandline -opc)[-1] -o --output --params'""",
}


def completion(shell: Annotated[Shell, typer.Argument(help="The shell that the script is for.")]) -> None:
    """Print the script with which a shell completes commands, pipelines, parameters, runs and nodes."""
    print(_SCRIPTS[shell])


def complete(words: Sequence[str]) -> None:
    """Print what the last of these words may become, a line each."""
    joined, typed = join_words(words or [""])
    found: list[str] = []

    def look() -> None:
        with suppress(Exception):  # a shell that completes shows no errors
            found.extend(each.removeprefix(typed) for each in candidates(joined))

    waiting = Thread(target=look, daemon=True)
    waiting.start()
    waiting.join(PATIENCE)
    if found:
        print("\n".join(found))


def join_words(words: Sequence[str]) -> tuple[list[str], str]:
    """The words as they were typed, and how much of the last one the shell does not have replaced.

    bash takes `depth=3` for the words `depth`, `=` and `3`, and replaces only the last of them.
    """
    joined: list[str] = []
    typed, open_ = "", False
    for word in words:
        if word == "=" and joined:
            typed = joined[-1] = f"{joined[-1]}="
            open_ = True
        elif open_:
            joined[-1] += word
            open_ = False
        else:
            joined.append(word)
            typed = ""
    return joined, typed


def candidates(words: Sequence[str]) -> Iterator[str]:
    """What the last of these words may become; those before it are complete."""
    *before, current = words
    if not before:
        yield from _beginning(current, COMMANDS)
        return
    name, previous = before[0], before[-1]
    if name not in COMMANDS:
        return
    option, equals, value = current.partition("=")
    if previous in VALUES and len(before) > 1:
        yield from _offers(VALUES[previous], current, before)
    elif equals and option in VALUES:
        yield from (f"{option}={each}" for each in _offers(VALUES[option], value, before))
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
        "run": lambda: islice(_beginning(current, _runs()), OFFERED),
        "node": lambda: _nodes(before[1]),
        "queue": _queues,
        "state": _states,
        "format": _formats,
        "parameter": lambda: _parameters(_pipeline(before), current),
        "file": lambda: iter(()),
        "text": lambda: iter(()),
    }
    return _beginning(current, offers[kind]())


def _beginning(current: str, offers: Iterable[str]) -> Iterator[str]:
    return (each for each in offers if each.startswith(current))


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


def _queues() -> Iterator[str]:
    from orchestrator.settings import settings  # loads pydantic, which commands and options do not need

    return iter(settings().queues)


def _runs() -> Iterator[str]:
    import_redis()
    from orchestrator.client.run_lookup import RECENT, Records  # loads what reads Redis and the store

    yield "latest"
    yield from Records.open().ids(RECENT)


def _nodes(run: str) -> Iterator[str]:
    import_redis()
    from orchestrator.archive.specification import Specification
    from orchestrator.client.run_lookup import Records

    records = Records.open()
    return (node.name for node in Specification.read(records.store, records.resolve(run)).graph.everything)


def _states() -> Iterator[str]:
    from orchestrator.client.run_filter import STATES

    return iter(STATES)


def _formats() -> Iterator[str]:
    from orchestrator.cli.pipelines import Format

    return iter(Format)


def _parameters(pipeline: str, current: str) -> Iterator[str]:
    """The names of a pipeline's parameters; with one written out, its values."""
    parameters = pipelines_in_text().get(pipeline, {})
    name, equals, _ = current.partition("=")
    if equals:
        return (f"{name}={value}" for value in parameters.get(name, ()))
    return (f"{name}=" for name in parameters)


def pipelines_in_text() -> dict[str, Parameters]:
    """The pipelines of the settings' modules with their parameters, as their text has them."""
    from orchestrator.settings import settings  # as above

    found: dict[str, Parameters] = {}
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


def _pipelines_of(text: str) -> Iterator[tuple[str, Parameters]]:
    try:
        tree = ast.parse(text)
    except SyntaxError:
        return
    enums = {node.name: tuple(_enum_values(node)) for node in tree.body if isinstance(node, ast.ClassDef)}
    for node in tree.body:
        if isinstance(node, ast.FunctionDef) and any(map(_is_pipeline, node.decorator_list)):
            arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            yield node.name, {each.arg: _values_of(each.annotation, enums) for each in arguments}


def _values_of(annotation: ast.expr | None, enums: Parameters) -> tuple[str, ...]:
    """What a parameter with this annotation may be, if those are a few: a bool, a Literal or an Enum."""
    match annotation:
        case ast.Constant(str(text)):
            with suppress(SyntaxError):
                return _values_of(ast.parse(text, mode="eval").body, enums)
        case ast.Name("bool"):
            return ("true", "false")
        case ast.Name(name):
            return enums.get(name, ())
        case ast.BinOp(left, ast.BitOr(), right):
            return (*_values_of(left, enums), *_values_of(right, enums))
        case ast.Subscript(ast.Name(name) | ast.Attribute(attr=name), content):
            parts = content.elts if isinstance(content, ast.Tuple) else [content]
            if name == "Literal":
                return tuple(str(each.value) for each in parts if isinstance(each, ast.Constant))
            if name in ("Annotated", "Optional"):
                return _values_of(parts[0], enums)
    return ()


def _enum_values(node: ast.ClassDef) -> Iterator[str]:
    """The values of a class's members, if it is an Enum."""
    names = (base.attr if isinstance(base, ast.Attribute) else getattr(base, "id", "") for base in node.bases)
    if any(str(name).endswith("Enum") for name in names):
        for line in node.body:
            match line:
                case ast.Assign(value=ast.Constant(value)):
                    yield str(value)


def _is_pipeline(decorator: ast.expr) -> bool:
    called = decorator.func if isinstance(decorator, ast.Call) else decorator
    name = called.attr if isinstance(called, ast.Attribute) else getattr(called, "id", "")
    return name == "pipeline"
