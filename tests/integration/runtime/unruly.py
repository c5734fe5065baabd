"""Stages that do what few stages do: fail in odd ways, end their process, print in odd ways."""

from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

from orchestrator import pipeline, stage
from workers.runtime import attempt


class Unprintable(Exception):
    """Neither `str` nor `repr` of it work."""

    def __str__(self) -> str:
        raise RuntimeError("no words")

    __repr__ = __str__


class Unpicklable(Exception):
    """It cannot leave its process."""

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.lock = open(os.devnull)  # noqa: SIM115, PTH123

    def __reduce__(self) -> str:
        raise RuntimeError("not to be moved")


class Elusive(BaseException):
    """No `Exception`, and unprintable."""

    def __str__(self) -> str:
        raise KeyboardInterrupt


def raise_chain() -> None:
    try:
        raise Unprintable  # noqa: TRY301
    except Unprintable as error:
        error.add_note("a \udce9 note")
        raise ExceptionGroup("several", [ValueError("one"), Unprintable(), UnicodeError("\udce9")]) from error


def raise_oddly(kind: str) -> None:
    match kind:
        case "unprintable":
            raise Unprintable
        case "surrogate":
            raise FileNotFoundError("no file caf\udce9")
        case "huge":
            raise ValueError("x" * 5_000_000 + " the end")
        case "chain":
            raise_chain()
        case "unpicklable":
            raise Unpicklable("stays here")
        case "asyncio":
            raise asyncio.CancelledError
        case "interrupt":
            raise KeyboardInterrupt
        case "generator":
            raise GeneratorExit
        case "elusive":
            raise Elusive
        case "exit 1":
            sys.exit(1)
        case "exit 0":
            sys.exit(0)
        case "exit text":
            sys.exit("caf\udce9")
        case "empty":
            raise ValueError


@stage
def fail_oddly(kind: str) -> str:
    raise_oddly(kind)
    return kind


@stage
def fail_oddly_in_items(kind: str, number: int) -> int:
    if number == 1:
        raise_oddly(kind)
    return number


@stage
def count_up_to(count: int) -> list[int]:
    return list(range(count))


@stage
def odd_text() -> dict[str, str]:
    print("printed caf\udce9 \x1b[31m")
    return {"name": "caf\udce9", "escape": "\x1b]0;title\x07"}


@stage
def same(value: dict[str, str], path: str) -> str:
    return value["name"] + path


@stage
def leave_by_force(marker: str) -> str:
    with Path(marker).open("a", encoding="utf-8") as file:
        file.write("x")
    os._exit(7)


@stage
def break_the_record(marker: str) -> None:
    """Fail so that the runtime cannot write it down."""
    with Path(marker).open("a", encoding="utf-8") as file:
        file.write("x")

    def traceback_of(error: BaseException) -> str:
        if isinstance(error, LookupError):
            raise ValueError("the record is broken")  # noqa: TRY004
        return "no traceback"

    attempt.traceback_of = traceback_of  # type: ignore[attr-defined]
    raise LookupError


@stage
def return_in_a_copy() -> int:
    """The copy of the process comes back from the stage, too."""
    child = os.fork()
    if child:
        os.waitpid(child, 0)
    return os.getpid()


@pipeline
def odd_failure(kind: str) -> None:
    fail_oddly(kind)


@pipeline
def odd_failures(kind: str) -> None:
    fail_oddly_in_items.partial(kind=kind).map(number=count_up_to(3))


@pipeline
def odd_texts(path: str) -> None:
    same(odd_text(), path)


@pipeline
def forced(marker: str) -> None:
    leave_by_force(marker)


@pipeline
def unrecorded(marker: str) -> None:
    break_the_record(marker)


@pipeline
def copied() -> None:
    return_in_a_copy()
