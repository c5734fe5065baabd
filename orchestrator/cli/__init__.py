"""The command line: `orchestrator COMMAND`. Errors become one clear line, a hint and an exit status."""

from __future__ import annotations

import gc
import io
import os
import signal
import sys

#: Exit status after Ctrl-C, as shells have it.
INTERRUPTED = 130
#: How the scripts for shells begin what they ask; the words so far follow.
COMPLETE = ["complete", "--"]


def main() -> None:
    """Run the command that `sys.argv` asks for, and exit with its status."""
    try:
        status = _run()
    except KeyboardInterrupt:
        status = INTERRUPTED
    finally:
        # What was started is stopped by now: a Ctrl-C while Python takes itself down needs no traceback.
        signal.signal(signal.SIGINT, signal.SIG_DFL)
    sys.exit(status)


def _run() -> int:
    if sys.argv[1:3] == COMPLETE:
        gc.disable()  # the process ends before it would pay
        from orchestrator.cli.completion import complete  # without what a command needs: somebody waits

        complete([word for word in sys.argv[3:] if word != "--debug"])
        sys.stdout.flush()
        os._exit(0)  # nothing is open; to take hundreds of modules down is a fifth of the time

    from orchestrator.cli.commands import app
    from orchestrator.cli.messages import Notes, tell_error

    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="replace")  # a terminal that cannot show ✓ gets a question mark
    Notes.of_client()
    # Wanted most after a command has failed, when it is appended to the line: so it may stand anywhere.
    debug = "--debug" in sys.argv
    arguments = [word for word in sys.argv[1:] if word != "--debug"]
    try:
        app(arguments, prog_name="orchestrator")
    except Exception as error:  # noqa: BLE001 - the edge: whatever it is, it is told and not lost
        return tell_error(error, debug=debug)
    return 0
