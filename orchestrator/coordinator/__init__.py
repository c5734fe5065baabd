"""The long-running service: sees dead workers and lost messages, only ever repairs. Of several, one leads."""
