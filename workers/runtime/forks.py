"""Copies of a stage's process that the stage makes with `os.fork`."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager

from workers.runtime.error_text import traceback_of


@contextmanager
def copies_end_here() -> Iterator[None]:
    """End a copy of this process that comes out of the block: it would commit, as the original does."""
    original = os.getpid()
    status = 0
    try:
        yield
    except BaseException as error:
        if os.getpid() == original:
            raise
        status = 1
        os.write(2, traceback_of(error).encode())
    finally:
        if os.getpid() != original:
            os._exit(status)
