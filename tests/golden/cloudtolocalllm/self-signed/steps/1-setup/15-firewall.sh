# Firewall: SSH, 8443 come in, nothing else
# inputs: /usr/local/sbin/cloudtolocalllm-firewall /etc/systemd/system/cloudtolocalllm-firewall.service
check() { /usr/local/sbin/cloudtolocalllm-firewall check; }
apply() {
    installed nftables || { apt_lists && apt install nftables; } || return 1
    /usr/local/sbin/cloudtolocalllm-firewall up &&
    systemctl daemon-reload &&
    systemctl enable --now -q cloudtolocalllm-firewall.service
}
