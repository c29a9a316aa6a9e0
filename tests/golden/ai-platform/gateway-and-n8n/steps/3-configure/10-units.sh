# systemd units: the stack comes back after a reboot
# inputs: /etc/systemd/system/ai-platform.target /etc/systemd/system/ai-platform-postgres.service /etc/systemd/system/ai-platform-ollama.service /etc/systemd/system/ai-platform-litellm.service /etc/systemd/system/ai-platform-n8n.service /etc/systemd/system/ai-platform-nginx.service
units() { echo ai-platform.target ai-platform-postgres.service ai-platform-ollama.service ai-platform-litellm.service ai-platform-n8n.service ai-platform-nginx.service; }

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
