"""Workers: execution of stages, MLflow tracking and deployment. The app of `celery -A workers`."""
