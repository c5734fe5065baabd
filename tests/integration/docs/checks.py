"""What can be said of a block without running it: whether it can be parsed, and names what there is."""

from __future__ import annotations

import io
import json
import re
import shlex
import subprocess
import tomllib
from collections.abc import Iterator, Sequence
from functools import cache

import typer
import yaml
from dotenv import dotenv_values
from typer._click import Context
from typer._click.exceptions import ClickException

from orchestrator.cli.commands import app
from orchestrator.settings import IN_FILES, known_variables

from .blocks import ROOT, Block

#: Commands that a test may run: all others are only checked, and their block has to say why.
RUNNABLE = frozenset(
    {"cat", "cd", "echo", "eval", "export", "ls", "mkdir", "orchestrator", "printf", "pytest"}
)

#: Languages of blocks that nothing can be done with; each has to say what it is.
DRAWINGS = ("text", "mermaid")

#: The options of Compose that the pages use, by the command.
COMPOSE_OPTIONS = {
    "build": {"--pull"},
    "down": set(),
    "exec": {"-T"},
    "logs": {"--follow", "--since"},
    "pull": set(),
    "restart": set(),
    "run": {"--rm", "--no-deps", "-T"},
    "stop": set(),
    "up": {"--build", "--detach", "--wait", "--scale"},
}
_TAKE_A_VALUE = ("--scale", "--since")
_OPERATORS = frozenset({"&&", "||", "|", ";", "&"})
_REDIRECTIONS = frozenset({"<", ">", ">>"})


def mistakes(block: Block) -> list[str]:
    """What is wrong with a block, as far as it can be said without running it."""
    if block.marker == "checked" and not block.words:
        return ["say why it is not run"]
    if block.marker == "printed":
        return []
    try:
        match block.language:
            case "python":
                compile(block.text, block.place, "exec")
            case "yaml":
                list(yaml.safe_load_all(block.text))
            case "toml":
                tomllib.loads(block.text)
            case "json":
                json.loads(block.text)
            case "ini":
                return list(_mistakes_of_variables(block.text))
            case "shell":
                return list(_mistakes_of_shell(block))
            case _ if block.marker == "file":
                return []
            case language if language in DRAWINGS:
                return [] if block.marker == "checked" else ["say what it is: <!-- checked: … -->"]
            case language:
                return [f"'{language}' is no language that is checked here; begin the block with ```LANGUAGE"]
    except (SyntaxError, ValueError, yaml.YAMLError) as error:
        return [f"cannot be parsed: {error}"]
    return []


def commands_in(text: str) -> list[list[str]]:
    """The words of each simple command of a script, without redirections and variables before it."""
    inner = [found[1] for found in re.finditer(r"\$\(([^()]+)\)", text)]
    lines = [*text.replace("\\\n", " ").splitlines(), *inner]
    return [command for line in lines for command in _commands_in_line(line)]


def _commands_in_line(line: str) -> Iterator[list[str]]:
    reader = shlex.shlex(line, posix=True, punctuation_chars=True)
    reader.wordchars += "@$:,{}[]…!%+^"
    words: list[str] = []
    skip = False
    for word in [*reader, ";"]:
        if word in _OPERATORS:
            if words:
                yield words
            words = []
        elif word in _REDIRECTIONS:
            skip = True
        elif skip:
            skip = False
        elif words or not re.match(r"[A-Z_]+=", word):
            words.append(word.strip("[]"))


def _mistakes_of_shell(block: Block) -> Iterator[str]:
    syntax = subprocess.run(["bash", "-n"], input=block.text, capture_output=True, text=True, check=False)
    if syntax.returncode != 0:
        yield syntax.stderr
        return
    for words in commands_in(block.text):
        name = program(words)
        if block.marker != "checked" and name not in RUNNABLE:
            yield f"no test runs '{name}': say why it is only checked, <!-- checked: … -->"
        yield from _mistakes_of_command(words)


def program(words: Sequence[str]) -> str:
    """What a command calls; that of an environment in this folder is the one on the PATH."""
    return words[0].removeprefix(".venv/bin/")


def _mistakes_of_command(words: Sequence[str]) -> Iterator[str]:
    match [program(words), *words[1:]]:
        case ["orchestrator", *arguments]:
            yield from wrong_arguments(arguments)
        case ["docker", "compose", *arguments]:
            yield from _mistakes_of_compose(arguments)
        case ["docker", "run", *arguments] if "orchestrator" in arguments:
            yield from wrong_arguments(arguments[arguments.index("orchestrator") + 1 :])
        case ["make", *targets]:
            known = re.findall(r"^([a-z-]+):", (ROOT / "Makefile").read_text(), flags=re.MULTILINE)
            yield from (f"make knows no '{target}'" for target in targets if target not in known)
    paths = [word for word in words if word.startswith("docker/")]
    yield from (f"there is no {path}" for path in paths if not (ROOT / path).exists())


def wrong_arguments(arguments: Sequence[str]) -> Iterator[str]:
    """What the parser of the command line says against these arguments."""
    words = [word for word in arguments if word not in ("--help", "-h", "--debug")]
    group = typer.main.get_command(app)
    if not words or not hasattr(group, "resolve_command"):
        return
    try:
        above = Context(group, info_name="orchestrator", **group.context_settings)
        name, command, rest = group.resolve_command(above, words)
        if len(words) == len(arguments):  # otherwise the help is asked for, which needs no arguments
            command.make_context(name, rest, parent=above)
    except ClickException as error:
        yield f"orchestrator {shlex.join(arguments)}: {error.format_message()}"


def _mistakes_of_compose(arguments: Sequence[str]) -> Iterator[str]:
    name, *words = arguments
    options = COMPOSE_OPTIONS.get(name)
    if options is None:
        yield f"docker compose {name}: is no command that is known here"
        return
    while words and words[0].startswith("-"):
        option = words.pop(0)
        if option not in options:
            yield f"docker compose {name} has no {option}"
        if option in _TAKE_A_VALUE and words:
            value = words.pop(0)
            if option == "--scale" and value.partition("=")[0] not in services():
                yield f"--scale {value}: there is no such service"
    named = words[:1] if name in ("exec", "run") else words
    yield from (f"docker-compose.yml has no service '{each}'" for each in named if each not in services())
    if name in ("exec", "run") and len(words) > 1:
        yield from _mistakes_of_command(words[1:])


@cache
def services() -> frozenset[str]:
    """Those of docker-compose.yml."""
    return frozenset(yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"])


@cache
def variables() -> frozenset[str]:
    """What may stand in a `.env` file, or in that of a worker: settings, and what Compose reads."""
    files = [ROOT / "docker-compose.yml", *(ROOT / "docker").glob("*.yml")]
    read = re.findall(r"\$\{([A-Z_]+)", "".join(file.read_text() for file in files))
    passed_on = re.findall(r"^  ([A-Z_]+):$", files[0].read_text(), flags=re.MULTILINE)
    return frozenset({*known_variables(), *IN_FILES, *read, *passed_on, "COMPOSE_FILE", "COMPOSE_PROFILES"})


def _mistakes_of_variables(text: str) -> Iterator[str]:
    found = dotenv_values(stream=io.StringIO(text))
    yield from (f"{name} has no value" for name, value in found.items() if not value)
    yield from (f"{name} is no variable of a service" for name in found if name not in variables())
