#!/bin/sh
# Creates a user and a database for MLflow and for Prefect. PostgreSQL's image runs it once, for an empty volume.
# By hand: MLFLOW_DB_PASSWORD=... PREFECT_DB_PASSWORD=... POSTGRES_USER=postgres sh postgres-init.sh
set -eu
psql --username "$POSTGRES_USER" --dbname postgres --set ON_ERROR_STOP=1 \
    --set mlflow_password="$MLFLOW_DB_PASSWORD" --set prefect_password="$PREFECT_DB_PASSWORD" <<'SQL'
CREATE ROLE mlflow LOGIN PASSWORD :'mlflow_password';
CREATE DATABASE mlflow OWNER mlflow;
CREATE ROLE prefect LOGIN PASSWORD :'prefect_password';
CREATE DATABASE prefect OWNER prefect;
SQL
