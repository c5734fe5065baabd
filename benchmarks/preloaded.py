"""Loads MLflow in a worker before it forks, and sets it aside for good, as `workers.multi_queue` does.

Its import is then in nobody's time, and no full garbage collection stops a process for a third of a second.
"""

from __future__ import annotations

import gc

from workers.tracking import preload

preload()
gc.freeze()
