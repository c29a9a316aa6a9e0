# nginx takes up its configuration without dropping a connection
# inputs: /opt/ai-platform/proxy/conf/nginx.conf
nginx() { docker compose --project-directory /opt/ai-platform -f /opt/ai-platform/compose.yaml exec -T nginx nginx -c /etc/nginx/ctl/nginx.conf "$@"; }

check() { true; }
apply() { nginx -t && nginx -s reload; }
