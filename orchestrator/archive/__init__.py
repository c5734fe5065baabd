"""Permanent records of runs in the artifact store: specifications, manifests, logs, final records."""
