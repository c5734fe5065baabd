"""The runtime: how a worker executes one stage of a run."""
