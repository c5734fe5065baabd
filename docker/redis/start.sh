#!/bin/sh
# Starts Redis with a user for each role. The configuration comes over standard input, so that no password is
# written to a disk or shown in a list of processes.
#
# Nobody can sign in as `default`. It has its rights all the same, because Redis replays its append-only file as this
# user: without them, all that a transaction or a script wrote would be refused, and lost.
#
# There is no `maxmemory`: who is refused a write loses a message, whereas a Redis that is killed for its memory comes
# back with all of them once REDIS_MEMORY is raised.
#
# No role may flush, shut down, replicate, or read and change the configuration: `@admin` and `@dangerous` are
# taken from all of them, and INFO given back, which Celery's clients and Flower ask for.
set -eu

password() {
    [ -s "/run/secrets/redis_$1_password" ] || { echo "start.sh: no password for Redis's user $1" >&2; return 1; }
    cat "/run/secrets/redis_$1_password"
}
worker=$(password worker)
coordinator=$(password coordinator)
flower=$(password flower)

exec docker-entrypoint.sh redis-server - <<CONFIGURATION
dir /data
appendonly yes
appendfsync everysec
save ""
maxmemory-policy noeviction
tcp-keepalive 60
protected-mode no
bind * -::*
user default off resetpass ~* &* +@all
user health on nopass -@all +ping
user worker on >$worker ~* &* +@all -@admin -@dangerous +info
user coordinator on >$coordinator ~* &* +@all -@admin -@dangerous +info
user flower on >$flower %R~* ~_kombu.* ~*pidbox* ~celeryev* ~unacked* &* +@all -@admin -@dangerous +info
CONFIGURATION
