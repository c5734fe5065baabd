#!/bin/sh
# Starts Postgres. pg_dump, pg_restore and psql inside the container sign in with the file that PGPASSFILE names: they
# want one that nobody else can read, which a secret of Compose is not, so it is written here, into memory.
set -eu

umask 077
printf '*:*:*:%s:%s\n' "$POSTGRES_USER" "$(cat "$POSTGRES_PASSWORD_FILE")" >"$PGPASSFILE"
umask 022
exec docker-entrypoint.sh postgres
