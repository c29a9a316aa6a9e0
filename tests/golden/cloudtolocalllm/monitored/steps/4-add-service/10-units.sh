# systemd units of what was added to the stack
# inputs: /etc/systemd/system/cloudtolocalllm-prometheus.service /etc/systemd/system/cloudtolocalllm-grafana.service
units() { echo cloudtolocalllm-prometheus.service cloudtolocalllm-grafana.service; }

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
