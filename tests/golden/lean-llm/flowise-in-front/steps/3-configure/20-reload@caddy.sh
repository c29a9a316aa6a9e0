# Caddy takes up its configuration
# inputs: /opt/lean-llm/proxy/conf/Caddyfile
caddy() { docker compose --project-directory /opt/lean-llm -f /opt/lean-llm/compose.yaml exec -T -w /etc/caddy caddy caddy "$@"; }

check() { true; }
apply() { caddy validate --config /etc/caddy/Caddyfile --adapter caddyfile && caddy reload --config /etc/caddy/Caddyfile --adapter caddyfile; }
