# Databases in Postgres: gateway, litellm
# inputs: /opt/enterprise-llm/stacks/postgres/databases.sql
compose() { docker compose --project-directory /opt/enterprise-llm -f /opt/enterprise-llm/compose.yaml "$@"; }
sql() { compose exec -T postgres psql -qXAt -v ON_ERROR_STOP=1 -U postgres "$@"; }

check() {
    [ "$(sql -c "SELECT count(*) FROM pg_database WHERE datname IN ('gateway', 'litellm')" </dev/null)" = 2 ]
}
# Postgres is there before its clients are; a new image for it comes later, with its data kept.
apply() {
    compose up -d --no-deps --no-recreate --wait --wait-timeout 120 postgres &&
    sql </opt/enterprise-llm/stacks/postgres/databases.sql
}
