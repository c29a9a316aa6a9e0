# The ngrok tunnel to https://example.ngrok-free.app
# inputs: /etc/ngrok/ngrok.yml /etc/systemd/system/enterprise-llm-ngrok.service
agent() { curl -fsS --max-time 5 "http://127.0.0.1:4040/api/$1"; }

check() {
    systemctl is-enabled -q enterprise-llm-ngrok.service && systemctl is-active -q enterprise-llm-ngrok.service &&
    # Agents from before 2025 know their endpoints as tunnels only.
    { agent endpoints || agent tunnels; } | grep -qF '"https://example.ngrok-free.app"'
}
apply() {
    ngrok config check --config /etc/ngrok/ngrok.yml &&
    systemctl daemon-reload &&
    systemctl enable -q enterprise-llm-ngrok.service &&
    systemctl restart enterprise-llm-ngrok.service || return 1
    tries=0
    until check 2>/dev/null; do
        tries=$((tries + 1))
        if [ "$tries" -ge 30 ]; then
            journalctl -u enterprise-llm-ngrok.service -n 15 --no-pager -o cat
            return 1
        fi
        sleep 1
    done
}
