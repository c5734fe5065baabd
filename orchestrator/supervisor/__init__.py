"""The supervisor: sees dead workers and stalled runs, and only ever repairs. Several may run, one leads."""
