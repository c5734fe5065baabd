"""What names a run, everywhere: in Redis, in the store, in messages and in MLflow."""

from __future__ import annotations

from typing import NewType

RunId = NewType("RunId", str)
