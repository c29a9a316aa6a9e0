# Caddy takes up its configuration without dropping a connection
# inputs: /opt/enterprise-llm/proxy/conf/Caddyfile
caddy() { docker compose --project-directory /opt/enterprise-llm -f /opt/enterprise-llm/compose.yaml exec -T -w /etc/caddy caddy caddy "$@"; }

# Caddy drops connections whose first request has not come when it changes over. So no new ones are let in for that
# moment: those that are being made have a second to ask, and who comes later sends the first packet again without being
# told. The kernel forgets all this after ten seconds, whatever becomes of us.
hold() {
    nft -f - <<'END' 2>/dev/null && sleep 1
table inet ctl-enterprise-llm-hold
delete table inet ctl-enterprise-llm-hold
table inet ctl-enterprise-llm-hold {
    set doors { type inet_service; flags timeout; timeout 10s; elements = { 443 } }
    chain in { type filter hook prerouting priority raw; tcp dport @doors tcp flags & (fin|syn|rst|ack) == syn drop; }
    chain out { type filter hook output priority raw; oifname lo tcp dport @doors tcp flags & (fin|syn|rst|ack) == syn drop; }
}
END
}
let_go() { nft delete table inet ctl-enterprise-llm-hold 2>/dev/null; }

check() { true; }
apply() {
    caddy validate --config /etc/caddy/Caddyfile --adapter caddyfile || return 1
    hold
    caddy reload --config /etc/caddy/Caddyfile --adapter caddyfile
    result=$?
    let_go
    return "$result"
}
