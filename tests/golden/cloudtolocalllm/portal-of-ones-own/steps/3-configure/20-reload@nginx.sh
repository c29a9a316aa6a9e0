# nginx takes up its configuration without dropping a connection
# inputs: /opt/cloudtolocalllm/proxy/conf/nginx.conf
nginx() { docker compose --project-directory /opt/cloudtolocalllm -f /opt/cloudtolocalllm/compose.yaml exec -T nginx nginx -c /etc/nginx/ctl/nginx.conf "$@"; }

check() { true; }
apply() { nginx -t && nginx -s reload; }
