# This host joins the tailnet as ai.tail1234.ts.net
# inputs: /etc/ctl/tailscale.key /etc/sysctl.d/60-ctl-tailnet.conf
# timeout: 180
self() { tailscale status --json --peers=false; }
state() { self | sed -n 's/.*"BackendState": *"\([A-Za-z]*\)".*/\1/p'; }
name() { self | sed -n 's/.*"DNSName": *"\([^"]*\)\.".*/\1/p' | head -n 1; }
# Compose reads it: the address on which the proxy listens.
wanted() { echo "PROXY_ADDRESS=$(tailscale ip -4)"; }

check() {
    systemctl is-enabled -q tailscaled && [ "$(state)" = Running ] && [ "$(name)" = ai.tail1234.ts.net ] &&
    [ "$(cat /opt/ai-platform/.env)" = "$(wanted)" ]
}
apply() {
    sysctl -q -p /etc/sysctl.d/60-ctl-tailnet.conf &&
    systemctl enable --now -q tailscaled || return 1
    if [ "$(state)" = Running ]; then
        # `up` would want every setting again that somebody has made since.
        tailscale set --hostname=ai || return 1
    else
        # The name servers of the host stay as they are: the containers ask them too.
        tailscale up --auth-key=file:/etc/ctl/tailscale.key --hostname=ai --accept-dns=false --timeout=60s || {
            echo "Tailscale did not let this host in. A key that is used up, expired or of another tailnet is replaced:"
            echo "make one under Settings, Keys of the admin console, then ctl secrets set h1 TAILSCALE_AUTHKEY"
            return 1
        }
    fi
    tries=0
    until [ "$(name)" = ai.tail1234.ts.net ]; do
        tries=$((tries + 1))
        if [ "$tries" -ge 20 ]; then
            echo "the tailnet calls this host $(name), not ai.tail1234.ts.net: set domain to that, or free the name in the admin console"
            return 1
        fi
        sleep 1
    done
    (umask 022 && wanted >/opt/ai-platform/.env.new) && mv -f /opt/ai-platform/.env.new /opt/ai-platform/.env
}
