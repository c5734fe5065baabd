"""Compiling: from a graph to Celery chains and chords. Pure functions; nothing is sent or stored here."""
