# Security upgrades install themselves, every day
# inputs: /etc/apt/apt.conf.d/52ctl-security-upgrades
check() {
    installed unattended-upgrades &&
    [ "$(apt-config dump --format '%v' APT::Periodic::Unattended-Upgrade)" = 1 ] &&
    systemctl is-enabled -q apt-daily-upgrade.timer
}
apply() {
    installed unattended-upgrades || { apt_lists && apt install unattended-upgrades; } || return 1
    systemctl enable --now -q apt-daily.timer apt-daily-upgrade.timer
}
