# Databases in Postgres: streaming-api
# inputs: /opt/cloudtolocalllm/stacks/postgres/databases.sql
compose() { docker compose --project-directory /opt/cloudtolocalllm -f /opt/cloudtolocalllm/compose.yaml "$@"; }
sql() { compose exec -T postgres psql -qXAt -v ON_ERROR_STOP=1 -U postgres "$@"; }

check() {
    [ "$(sql -c "SELECT count(*) FROM pg_database WHERE datname IN ('streaming_api')" </dev/null)" = 1 ]
}
# Postgres is there before its clients are; a new image for it comes later, with its data kept.
apply() {
    compose up -d --no-deps --no-recreate --wait --wait-timeout 120 postgres &&
    sql </opt/cloudtolocalllm/stacks/postgres/databases.sql
}
