# n8n's database in Postgres
# inputs: /opt/ai-platform/stacks/n8n/database.sql
compose() { docker compose --project-directory /opt/ai-platform -f /opt/ai-platform/compose.yaml "$@"; }
sql() { compose exec -T postgres psql -qXAt -v ON_ERROR_STOP=1 -U postgres "$@"; }

check() { [ "$(sql -c "SELECT count(*) FROM pg_database WHERE datname = 'n8n'" </dev/null)" = 1 ]; }
# Postgres is there before n8n is; a new image for it comes later, with its data kept.
apply() {
    compose up -d --no-deps --no-recreate --wait --wait-timeout 120 postgres &&
    sql </opt/ai-platform/stacks/n8n/database.sql
}
