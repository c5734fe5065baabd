"""Runs the Python of one page, block after block in one module: a program, which reads lines of JSON."""

from __future__ import annotations

import contextlib
import io
import json
import linecache
import sys
import traceback
from types import ModuleType


def main() -> None:
    """Answer each block with what it printed, and with its traceback if it raised."""
    requests, answers = sys.stdin, sys.stdout
    sys.modules["__main__"] = module = ModuleType("__main__")  # without the names of this one
    sys.path.insert(0, "")
    for request in requests:
        block = json.loads(request)
        text = "\n" * block["line"] + block["text"]  # so that tracebacks tell the page's own lines
        linecache.cache[block["page"]] = (len(text), None, text.splitlines(keepends=True), block["page"])
        printed, error = io.StringIO(), ""
        with contextlib.redirect_stdout(printed):
            try:
                exec(compile(text, block["page"], "exec", dont_inherit=True), vars(module))  # noqa: S102 - our page
            except Exception:  # noqa: BLE001 - the edge: it is told
                error = traceback.format_exc()
        print(json.dumps({"printed": printed.getvalue(), "error": error}), file=answers, flush=True)


if __name__ == "__main__":
    main()
