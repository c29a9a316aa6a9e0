# systemd units: the stack comes back after a reboot
# inputs: /etc/systemd/system/lean-llm.target /etc/systemd/system/lean-llm-n8n.service /etc/systemd/system/lean-llm-caddy.service
units() { echo lean-llm.target lean-llm-n8n.service lean-llm-caddy.service; }

# shellcheck disable=SC2046  # one word per unit
check() {
    [ "$(systemctl is-active $(units) | sort -u)" = active ] && [ "$(systemctl is-enabled $(units) | sort -u)" = enabled ]
}

# shellcheck disable=SC2046
apply() {
    systemctl daemon-reload &&
    systemctl enable -q $(units) &&
    systemctl start $(units)
}
