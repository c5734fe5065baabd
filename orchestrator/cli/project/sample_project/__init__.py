"""The pipelines of sample-project; the orchestrator looks into every module of this package."""
