"""The coordinator: finds pipelines, checks them, and submits runs."""
