# systemd units: the stack comes back after a reboot
# inputs: /etc/systemd/system/ai-platform.target /etc/systemd/system/ai-platform-postgres.service /etc/systemd/system/ai-platform-redis.service /etc/systemd/system/ai-platform-weaviate.service /etc/systemd/system/ai-platform-ollama.service /etc/systemd/system/ai-platform-litellm.service /etc/systemd/system/ai-platform-anythingllm.service /etc/systemd/system/ai-platform-signal-api.service /etc/systemd/system/ai-platform-openclaw.service /etc/systemd/system/ai-platform-dify.service /etc/systemd/system/ai-platform-n8n.service /etc/systemd/system/ai-platform-gdrive.service /etc/systemd/system/ai-platform-nginx.service
units() { echo ai-platform.target ai-platform-postgres.service ai-platform-redis.service ai-platform-weaviate.service ai-platform-ollama.service ai-platform-litellm.service ai-platform-anythingllm.service ai-platform-signal-api.service ai-platform-openclaw.service ai-platform-dify.service ai-platform-n8n.service ai-platform-gdrive.service ai-platform-nginx.service; }

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
