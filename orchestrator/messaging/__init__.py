"""Celery and kombu as used here: app, transport, chord counter, message checks, unacknowledged messages."""
