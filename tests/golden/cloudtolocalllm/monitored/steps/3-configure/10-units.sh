# systemd units: the stack comes back after a reboot
# inputs: /etc/systemd/system/cloudtolocalllm.target /etc/systemd/system/cloudtolocalllm-postgres.service /etc/systemd/system/cloudtolocalllm-docker-proxy.service /etc/systemd/system/cloudtolocalllm-user-manager.service /etc/systemd/system/cloudtolocalllm-auth.service /etc/systemd/system/cloudtolocalllm-streaming-api.service /etc/systemd/system/cloudtolocalllm-portal.service /etc/systemd/system/cloudtolocalllm-nginx.service
units() { echo cloudtolocalllm.target cloudtolocalllm-postgres.service cloudtolocalllm-docker-proxy.service cloudtolocalllm-user-manager.service cloudtolocalllm-auth.service cloudtolocalllm-streaming-api.service cloudtolocalllm-portal.service cloudtolocalllm-nginx.service; }

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
