"""Celery and kombu as they are used here: app, transport, chords, envelopes, unacked messages."""
