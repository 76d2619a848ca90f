#!/bin/bash
# The switchover as a runbook has it: one psql after the other. It is kind to the recipe: it polls
# without a rest worth mentioning and sets all sequences of a database in one transaction.
# Standard output tells when each step began; "unfence" is left to the benchmark, which does for both
# contestants the same thing in the same way (see ours.go).
set -euo pipefail

mark() { echo "$1 $EPOCHREALTIME"; }
ask() { "$PSQL" -XAtq -v ON_ERROR_STOP=1 "$@"; }

mark pause
ask -d "$CONSOLE" -c 'PAUSE'

mark fence
ask -d "$SOURCE dbname=postgres" -c "ALTER ROLE $ROLE NOLOGIN"
ask -d "$SOURCE dbname=postgres" -c "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = '$ROLE'"

mark drain
lsn=$(ask -d "$SOURCE dbname=postgres" -c 'SELECT pg_current_wal_lsn()')
until [ "$(ask -d "$SOURCE dbname=postgres" -c "SELECT count(*) FROM pg_replication_slots
	WHERE slot_type = 'logical' AND (confirmed_flush_lsn < '$lsn' OR NOT active)")" = 0 ]; do
	sleep 0.01
done

mark sequences
for database in $DATABASES; do
	ask -d "$SOURCE dbname=$database" -c "
		SELECT format('SELECT setval(%L, %s);', quote_ident(schemaname) || '.' || quote_ident(sequencename), last_value)
		FROM pg_sequences WHERE last_value IS NOT NULL" |
		ask -1 -d "$TARGET dbname=$database" -f - >/dev/null
done

mark turn
for database in $DATABASES; do
	ask -d "$TARGET dbname=$database" -c 'ALTER SUBSCRIPTION pgleap_forward DISABLE'
done

mark move
sed -i "s/host=$HOST_NOW port=$PORT/host=$HOST_NEXT port=$PORT/" "$INI"
ask -d "$CONSOLE" -c 'RELOAD'

mark unfence
read -r _

mark resume
ask -d "$CONSOLE" -c 'RESUME'
mark end
