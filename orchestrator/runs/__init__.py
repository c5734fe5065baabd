"""The run store: what is live of every run, in Redis."""

from __future__ import annotations
