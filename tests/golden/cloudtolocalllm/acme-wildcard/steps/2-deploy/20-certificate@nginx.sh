# A certificate for cloud.example.com that this host signs itself, until there is one from the authority
folder=/opt/cloudtolocalllm/proxy/tls
compose() { docker compose --project-directory /opt/cloudtolocalllm -f /opt/cloudtolocalllm/compose.yaml "$@"; }
certificate() { openssl x509 -in "$folder/fullchain.pem" -noout "$@"; }

check() { [ -s "$folder/key.pem" ] && [ "$(certificate -pubkey)" = "$(openssl pkey -in "$folder/key.pem" -pubout)" ]; }
apply() {
    (umask 022 && mkdir -p "$folder") &&
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -sha256 -days 397 -subj /CN=cloud.example.com \
        -addext 'subjectAltName=DNS:cloud.example.com,DNS:*.cloud.example.com,DNS:*.users.cloud.example.com' -addext extendedKeyUsage=serverAuth \
        -addext keyUsage=critical,digitalSignature -addext basicConstraints=critical,CA:FALSE \
        -keyout "$folder/key.new" -out "$folder/fullchain.new" 2>/dev/null &&
    mv -f "$folder/key.new" "$folder/key.pem" && mv -f "$folder/fullchain.new" "$folder/fullchain.pem" || return 1
    # At the first deploy there is nothing yet that would take it up.
    [ -z "$(compose ps -q nginx 2>/dev/null)" ] || compose exec -T nginx nginx -c /etc/nginx/ctl/nginx.conf -s reload
}
