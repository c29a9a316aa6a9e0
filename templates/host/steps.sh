# What every step may call.

# apt-get that asks nothing and waits for the lock, which unattended-upgrades holds for minutes after a boot.
apt() {
    DEBIAN_FRONTEND=noninteractive apt-get -y -qq -o DPkg::Lock::Timeout=300 -o Dpkg::Options::=--force-confold "$@"
}

# Package lists no older than a day.
apt_lists() {
    [ -n "$(find /var/lib/apt/lists -maxdepth 1 -name '*_Packages*' -mmin -1440 2>/dev/null | head -n 1)" ] || apt update
}

installed() {
    for package in "$@"; do
        [ "$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null)" = 'install ok installed' ] || return 1
    done
}
