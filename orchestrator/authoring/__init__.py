"""Authoring: pipelines as plain typed functions. Knows nothing of Celery, Redis or MLflow."""
