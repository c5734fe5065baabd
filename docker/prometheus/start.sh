#!/bin/sh
# Starts Prometheus, which reads a password from a file only. Compose cannot put a secret from the environment into
# a container whose root is read-only, so it is written here, into memory.
set -eu

umask 077
printf '%s' "$FLOWER_PASSWORD" >/tmp/flower_password
unset FLOWER_PASSWORD
exec prometheus "$@"
