# The folder of Dify's files, and its plugins' database
folder=/opt/ai-platform/data/dify/storage
compose() { docker compose --project-directory /opt/ai-platform -f /opt/ai-platform/compose.yaml "$@"; }
sql() { compose exec -T dify-postgres psql -qXAt -v ON_ERROR_STOP=1 -U postgres "$@"; }

check() {
    [ "$(stat -c %u:%g "$folder")" = 1001:1001 ] &&
    [ "$(sql -c "SELECT count(*) FROM pg_database WHERE datname = 'dify_plugin'" </dev/null)" = 1 ]
}
apply() {
    (umask 022 && mkdir -p "$folder") && chown 1001:1001 "$folder" &&
    compose up -d --no-deps --no-recreate --wait --wait-timeout 120 dify-postgres || return 1
    [ "$(sql -c "SELECT count(*) FROM pg_database WHERE datname = 'dify_plugin'" </dev/null)" = 1 ] ||
        sql -c 'CREATE DATABASE dify_plugin'
}
