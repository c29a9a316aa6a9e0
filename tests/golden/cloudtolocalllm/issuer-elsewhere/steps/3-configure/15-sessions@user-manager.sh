# Sessions end when the stack is stopped
# inputs: /etc/systemd/system/cloudtolocalllm-sessions.service
units() { echo cloudtolocalllm-sessions.service; }

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
