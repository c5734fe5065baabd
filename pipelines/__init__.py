"""The pipelines that ship: read them, run them, copy them."""
