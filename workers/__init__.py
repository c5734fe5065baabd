"""What happens during a run: stages are executed, tracked and deployed. `celery -A workers` starts here."""
