# Caddy takes up its configuration
# inputs: /srv/ai/proxy/conf/Caddyfile
caddy() { docker compose --project-directory /srv/ai -f /srv/ai/compose.yaml exec -T -w /etc/caddy caddy caddy "$@"; }

check() { true; }
apply() { caddy validate --config /etc/caddy/Caddyfile --adapter caddyfile && caddy reload --config /etc/caddy/Caddyfile --adapter caddyfile; }
