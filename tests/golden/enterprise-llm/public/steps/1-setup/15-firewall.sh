# Firewall: SSH, 443, 80 come in, nothing else
# inputs: /usr/local/sbin/enterprise-llm-firewall /etc/systemd/system/enterprise-llm-firewall.service
check() { /usr/local/sbin/enterprise-llm-firewall check; }
apply() {
    installed nftables || { apt_lists && apt install nftables; } || return 1
    /usr/local/sbin/enterprise-llm-firewall up &&
    systemctl daemon-reload &&
    systemctl enable --now -q enterprise-llm-firewall.service
}
