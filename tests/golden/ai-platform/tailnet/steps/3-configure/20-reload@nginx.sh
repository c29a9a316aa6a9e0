# nginx takes up its configuration without dropping a connection
# inputs: /home/ubuntu/ai-platform/proxy/conf/nginx.conf
nginx() { docker compose --project-directory /home/ubuntu/ai-platform -f /home/ubuntu/ai-platform/compose.yaml exec -T nginx nginx -c /etc/nginx/ctl/nginx.conf "$@"; }

check() { true; }
apply() { nginx -t && nginx -s reload; }
