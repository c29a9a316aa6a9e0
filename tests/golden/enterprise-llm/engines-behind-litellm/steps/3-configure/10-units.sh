# systemd units: the stack comes back after a reboot
# inputs: /etc/systemd/system/enterprise-llm.target /etc/systemd/system/enterprise-llm-postgres.service /etc/systemd/system/enterprise-llm-redis.service /etc/systemd/system/enterprise-llm-ollama.service /etc/systemd/system/enterprise-llm-auth.service /etc/systemd/system/enterprise-llm-litellm.service /etc/systemd/system/enterprise-llm-gateway.service /etc/systemd/system/enterprise-llm-chat.service /etc/systemd/system/enterprise-llm-caddy.service
units() { echo enterprise-llm.target enterprise-llm-postgres.service enterprise-llm-redis.service enterprise-llm-ollama.service enterprise-llm-auth.service enterprise-llm-litellm.service enterprise-llm-gateway.service enterprise-llm-chat.service enterprise-llm-caddy.service; }

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
