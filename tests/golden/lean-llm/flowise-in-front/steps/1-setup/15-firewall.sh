# Firewall: SSH come in, nothing else
# inputs: /usr/local/sbin/lean-llm-firewall /etc/systemd/system/lean-llm-firewall.service
check() { /usr/local/sbin/lean-llm-firewall check; }
apply() {
    installed nftables || { apt_lists && apt install nftables; } || return 1
    /usr/local/sbin/lean-llm-firewall up &&
    systemctl daemon-reload &&
    systemctl enable --now -q lean-llm-firewall.service
}
