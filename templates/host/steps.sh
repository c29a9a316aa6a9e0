# What every step may call.

# apt-get that asks nothing, tries again when the network fails, and waits for its lock, which unattended-upgrades
# holds for minutes after a boot.
apt() {
    mend
    apt_get "$@"
}

apt_get() {
    DEBIAN_FRONTEND=noninteractive NEEDRESTART_SUSPEND=1 apt-get -y -qq -o DPkg::Lock::Timeout=300 -o Acquire::Retries=3 \
        -o Dpkg::Options::=--force-confdef -o Dpkg::Options::=--force-confold "$@"
}

# What a power cut broke off is ended first: until then apt-get refuses everything. Whoever is just installing something
# leaves the same traces, and is waited for.
mend() {
    [ "$(ls -A /var/lib/dpkg/updates)" ] || [ "$(dpkg --audit)" ] || return 0
    tries=0
    until said=$(DEBIAN_FRONTEND=noninteractive dpkg --force-confdef --force-confold --configure -a 2>&1); do
        tries=$((tries + 1))
        case $said in
        *'lock was locked'* | *'get lock'*) [ "$tries" -lt 60 ] || break ;;
        *) break ;;
        esac
        sleep 5
    done
    echo "$said"
    apt_get --fix-broken install
}

# Fresh package lists. They have a lock of their own, for which apt-get does not wait.
apt_update() {
    tries=0
    until said=$(apt update 2>&1); do
        tries=$((tries + 1))
        case $said in
        *'get lock'*) ;;
        *) tries=60 ;;
        esac
        if [ "$tries" -ge 60 ]; then
            echo "$said"
            return 1
        fi
        sleep 5
    done
}

# Package lists no older than a day.
apt_lists() {
    [ -n "$(find /var/lib/apt/lists -maxdepth 1 -name '*_Packages*' -mmin -1440 2>/dev/null | head -n 1)" ] || apt_update
}

installed() {
    for package in "$@"; do
        [ "$(dpkg-query -W -f '${Status}' "$package" 2>/dev/null)" = 'install ok installed' ] || return 1
    done
}

# fetch URL FILE: again when the network fails, and never half a file.
fetch() {
    curl -fsSL --proto '=https' --connect-timeout 20 --retry 5 --retry-connrefused -o "$2.new" "$1" && mv -f "$2.new" "$2"
}
