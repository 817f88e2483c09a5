#!/usr/bin/env bash
# Run a query in each of the platform's databases, over TCP and with the role and password that the platform uses.
# (While the image sets up its databases its server listens on no TCP port, so it is not taken for ready.)
set -uo pipefail

export PGHOST=${PGHOST:-127.0.0.1} PGCONNECT_TIMEOUT=3

ask() {
    PGPASSWORD=$2 psql --no-psqlrc --no-password --quiet --tuples-only --username "$1" --dbname "$1" \
        --command "SELECT count(*) FROM pg_class" >/dev/null || { echo "database $1 does not answer" >&2 && exit 1; }
}

ask dagster "${DAGSTER_DATABASE_PASSWORD:?}"
ask mlflow "${MLFLOW_DATABASE_PASSWORD:?}"
ask ledger "${LEDGER_DATABASE_PASSWORD:?}"
