"""What holds for every test: how long Hypothesis may take, and where a browser is."""

from __future__ import annotations

import signal

import hypothesis

# Who starts the tests in the background may leave SIGINT ignored, which our programs would inherit.
signal.signal(signal.SIGINT, signal.default_int_handler)

# Time is pytest-timeout's concern: a deadline for one example only fails on a busy machine.
hypothesis.settings.register_profile("here", deadline=None, print_blob=True)
hypothesis.settings.register_profile(
    "long", deadline=None, print_blob=True, max_examples=3000, stateful_step_count=80
)
hypothesis.settings.load_profile("here")
