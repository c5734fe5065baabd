"""Stages that do what few stages do: fail in odd ways, end their process, print in odd ways."""

from __future__ import annotations

import asyncio
import ctypes
import faulthandler
import json
import logging
import multiprocessing
import multiprocessing.util
import os
import signal
import subprocess
import sys
import time
import warnings
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import joblib

from orchestrator import pipeline, stage
from workers.runtime import claimed_node


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

    def broken(error: BaseException) -> str:
        claimed_node.traceback_of = whole  # type: ignore[attr-defined]  # for whoever has this process next
        raise ValueError("the record is broken")

    whole = claimed_node.traceback_of  # type: ignore[attr-defined]
    claimed_node.traceback_of = broken  # type: ignore[attr-defined]
    raise LookupError


@stage
def return_in_a_copy() -> int:
    """The copy of the process comes back from the stage, too."""
    child = os.fork()
    if child:
        os.waitpid(child, 0)
    return os.getpid()


@stage
def go_elsewhere(folder: str) -> list[str]:
    before = str(Path.cwd())
    os.chdir(folder)
    return [str(os.getpid()), before]


def spin(folder: str) -> int:
    """Say that this process is there, and stay."""
    (Path(folder) / str(os.getpid())).touch()
    time.sleep(600)
    return 0


def double(number: int) -> int:
    return 2 * number


@stage
def work_in_processes(how: str) -> list[int]:
    match how:
        case "fork" | "spawn" | "forkserver":
            with multiprocessing.get_context(how).Pool(2) as pool:
                return pool.map(double, range(4))
        case "executor":
            with ProcessPoolExecutor(2) as executor:
                return list(executor.map(double, range(4)))
        case "joblib":
            return list(joblib.Parallel(n_jobs=2)(joblib.delayed(double)(number) for number in range(4)))
        case "left open":
            return multiprocessing.Pool(2).map(double, range(4))
        case "executor left open":
            return list(ProcessPoolExecutor(2).map(double, range(4)))
    script = "import sys; print([2 * n for n in range(4)])"
    return list(json.loads(subprocess.run([sys.executable, "-c", script], capture_output=True).stdout))


@stage
def share_with_processes() -> str:
    with multiprocessing.Manager() as manager:
        manager.dict()
    return multiprocessing.util.get_temp_dir()


@stage
def leave_processes(how: str, folder: str, *, stay: bool = False) -> list[int]:
    """Start processes that stay, and stay with them."""
    if stay:
        signal.signal(signal.SIGUSR1, signal.SIG_IGN)  # the soft time limit
    match how:
        case "pool":
            pool = multiprocessing.Pool(2)
            pool.map_async(spin, [folder, folder])
        case "executor":
            executor = ProcessPoolExecutor(2)
            executor.submit(spin, folder)
            executor.submit(spin, folder)
        case "subprocess":
            code = "import sys, misbehaving_stages; misbehaving_stages.spin(sys.argv[1])"
            for _ in range(2):
                subprocess.Popen([sys.executable, "-c", code, folder])
        case "daemon":  # its parent ends, and it leads a session of its own
            code = (
                "import os, sys, misbehaving_stages\n"
                "if os.fork(): os._exit(0)\n"
                "os.setsid()\n"
                "if not os.fork(): misbehaving_stages.spin(sys.argv[1])\n"
                "misbehaving_stages.spin(sys.argv[1])"
            )
            subprocess.Popen([sys.executable, "-c", code, folder]).wait()
    while len(list(Path(folder).iterdir())) < 2:
        time.sleep(0.01)
    if stay:
        Path(f"{folder}.ready").touch()
        if how == "subprocess":
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        time.sleep(600)
    return []


leave_processes_for_long = leave_processes.options(time_limit=3.0)


@stage
def print_oddly(how: str) -> None:
    match how:
        case "dots":
            for _ in range(100_000):
                print(".", end="")
        case "redraws":
            for number in range(20_001):
                print(f"\r{number} of 20000", end="", file=sys.stderr)
        case "carriage returns":
            sys.stdout.write("one\r\ntwo\rthree\r\n")
        case "everything":
            print("by print")
            sys.stdout.buffer.write(b"by buffer\n")
            sys.stdout.flush()
            os.write(sys.stdout.fileno(), b"by descriptor\n")
            subprocess.run(["echo", "by a child"], check=True)
            subprocess.run(["echo", "by a child that is given it"], check=True, stdout=sys.stdout)
            libc = ctypes.CDLL(None)
            libc.printf(b"by C\n")
            libc.fflush(None)
            logging.getLogger("mine").info("by logging")
            warnings.warn("by warnings", stacklevel=1)
            child = multiprocessing.Process(target=print, args=("by a forked child",))
            child.start()
            child.join()
            libc.printf(b"at the end by C")
        case "passwords":
            print("http://me:hidden-1@host", end="", flush=True)
            subprocess.run(["echo", " by a child: http://me:hidden-1@host"], check=True)
            logging.getLogger("mine").warning("redis://:hidden-1@host")
            raise OSError("postgresql://me:hidden-1@host is away")
        case "stream":
            sys.stdout.reconfigure(line_buffering=True)  # type: ignore[union-attr]
            print(sys.stdout.encoding, sys.stdout.errors, sys.stdout.isatty(), sys.stdout.writable())
            print("caf\udce9 \N{SNOWMAN}")
            faulthandler.dump_traceback(all_threads=False)
        case "tqdm":
            for number in range(501):  # what tqdm does to a stream
                sys.stderr.write(f"\r{number / 5:3.0f}%|{'█' * (number // 50):<10}| {number}/500")
                sys.stderr.flush()
            sys.stderr.write("\n")
        case "closing":
            print("closed now")
            sys.stdout.close()
            os.close(1)
        case "wide":
            print("x" * 1_000_000)
        case "long":
            for number in range(60_000):
                print(number)
            raise RuntimeError("too long")


@stage
def show_environment() -> list[str]:
    return [name for name in ("ORCHESTRATOR_HOME", "REDIS_URL") if name in os.environ]


@pipeline
def environment_of_stages() -> None:
    show_environment()


@pipeline
def printing(how: str) -> None:
    print_oddly(how)


@stage
def take_key(api_key: str) -> int:
    return len(api_key)


@pipeline
def with_key(api_key: str) -> None:
    take_key(api_key)


@pipeline
def printing_again(how: str) -> None:
    print_oddly("everything").after(print_oddly(how))


@pipeline
def processes(how: str) -> None:
    work_in_processes(how)


@pipeline
def processes_in_turn(how: str, stages: int) -> None:
    last = work_in_processes(how)
    for _ in range(stages - 1):
        last = work_in_processes.after(last)(how)


@pipeline
def leaving_processes(how: str, folder: str, stay: bool = False) -> None:
    leave_processes(how, folder, stay=stay)


@pipeline
def leaving_processes_elsewhere(how: str, folder: str, stay: bool = False) -> None:
    leave_processes.options(queue="spare")(how, folder, stay=stay)


@pipeline
def overdue_processes(how: str, folder: str) -> None:
    leave_processes_for_long(how, folder, stay=True)


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


@pipeline
def elsewhere(folder: str, times: int) -> None:
    last = go_elsewhere(folder)
    for _ in range(times - 1):
        last = go_elsewhere.after(last)(folder)


@pipeline
def sharing() -> None:
    share_with_processes()
