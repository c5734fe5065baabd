"""What holds for every test: how long Hypothesis may take, and where a browser is."""

from __future__ import annotations

import hypothesis

# Time is pytest-timeout's concern: a deadline for one example only fails on a busy machine.
hypothesis.settings.register_profile("here", deadline=None, print_blob=True)
hypothesis.settings.load_profile("here")
