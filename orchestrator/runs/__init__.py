"""The run store: the live state of every run, in Redis."""

from __future__ import annotations
