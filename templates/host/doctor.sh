# What only the doctor asks, after the probe: what Docker is there, who is at work, what it can reach. Changes nothing.
engine() {
    command -v docker >/dev/null || return
    say engine "$(readlink -f "$(command -v docker)")" "$(docker --version 2>/dev/null)"
    for image in "$@"; do docker image inspect "$image" >/dev/null 2>&1 && say image "$image"; done
}

addresses() {
    ip -o addr show scope global 2>/dev/null | awk '{ sub(/\/.*/, "", $4); print "address\t" $4 }'
}

# Who holds the package system, by the kernel's own list: the tools that would tell are not on every host.
package_locks() {
    for file in /var/lib/dpkg/lock-frontend /var/lib/dpkg/lock /var/lib/apt/lists/lock /var/cache/apt/archives/lock; do
        inode=$(stat -c %i "$file" 2>/dev/null) || continue
        pid=$(awk -v inode="$inode" '$2 == "POSIX" { split($6, at, ":"); if (at[3] == inode) { print $5; exit } }' /proc/locks)
        [ -n "$pid" ] && say held "$file" "$(cat "/proc/$pid/comm" 2>/dev/null)"
    done
}

certificates() {
    volume=$(docker volume inspect -f '{{.Mountpoint}}' "${stack}_caddy-data" 2>/dev/null) || volume=/nonexistent
    find "$volume" /etc/letsencrypt/live "$root/certbot/config/live" \( -name '*.crt' -o -name fullchain.pem \) -printf 'certificate\t%f\t%h\n' 2>/dev/null
}

# reach URL: the HTTP status, 000 for none, and - where nothing here can ask.
reach() {
    if command -v curl >/dev/null; then
        code=$(curl -s -o /dev/null --connect-timeout 5 -m 10 -w '%{http_code}' "$1")
        printf 'reach\t%s\t%s\n' "$1" "$code"
    else
        printf 'reach\t%s\t-\n' "$1"
    fi
}
