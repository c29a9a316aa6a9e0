# Firewall: SSH, 443 come in, nothing else
# inputs: /usr/local/sbin/ai-platform-firewall /etc/systemd/system/ai-platform-firewall.service
check() { /usr/local/sbin/ai-platform-firewall check; }
apply() {
    installed nftables || { apt_lists && apt install nftables; } || return 1
    /usr/local/sbin/ai-platform-firewall up &&
    systemctl daemon-reload &&
    systemctl enable --now -q ai-platform-firewall.service
}
