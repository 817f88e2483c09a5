#!/usr/bin/env bash
# Make the platform's databases, each owned by a role of its own that can reach no other. The image of PostgreSQL
# runs this when its data directory is empty; it may be run again by hand, e.g. after a password was changed in .env.
set -euo pipefail

make_database() {
    psql -v ON_ERROR_STOP=1 --quiet --no-psqlrc --username "${POSTGRES_USER:-postgres}" --dbname postgres \
        -v name="$1" -v password="$2" -v synchronous_commit="$3" <<'SQL'
SELECT format('CREATE ROLE %I LOGIN', :'name')
WHERE NOT EXISTS (SELECT FROM pg_roles WHERE rolname = :'name') \gexec
ALTER ROLE :"name" PASSWORD :'password';
SELECT format('CREATE DATABASE %I OWNER %I', :'name', :'name')
WHERE NOT EXISTS (SELECT FROM pg_database WHERE datname = :'name') \gexec
REVOKE ALL ON DATABASE :"name" FROM PUBLIC;
ALTER DATABASE :"name" SET synchronous_commit = :'synchronous_commit';
SQL
}

# After a power failure the last events of a run or an experiment may be missing; never an order.
make_database dagster "${DAGSTER_DATABASE_PASSWORD:?}" off
make_database mlflow "${MLFLOW_DATABASE_PASSWORD:?}" off
make_database ledger "${LEDGER_DATABASE_PASSWORD:?}" on
