# Docker Engine and the Compose plugin
# inputs: /etc/docker/daemon.json
# timeout: 1200
check() { docker compose version && systemctl is-active -q docker; }

# Docker's packages for this release, also for distributions that are made from Debian's or Ubuntu's.
repository() (
    # shellcheck source=/dev/null
    . /etc/os-release
    if [ -n "${UBUNTU_CODENAME:-}" ]; then
        set -- ubuntu "$UBUNTU_CODENAME"
    else
        set -- debian "${DEBIAN_CODENAME:-$VERSION_CODENAME}"
    fi
    umask 022
    mkdir -p /etc/apt/keyrings &&
    fetch "https://download.docker.com/linux/$1/gpg" /etc/apt/keyrings/docker.asc || return 1
    # What older guides wrote, with another key: apt refuses to have both.
    rm -f /etc/apt/sources.list.d/docker.list
    {
        echo 'Types: deb'
        echo "URIs: https://download.docker.com/linux/$1"
        echo "Suites: $2"
        echo 'Components: stable'
        echo "Architectures: $(dpkg --print-architecture)"
        echo 'Signed-By: /etc/apt/keyrings/docker.asc'
    } >/etc/apt/sources.list.d/docker.sources
)

engine() {
    repository && apt_update || return 1
    set --
    for package in docker.io docker-cli docker-buildx docker-compose docker-compose-v2 docker-doc podman-docker containerd runc; do
        if installed "$package"; then set -- "$@" "$package"; fi
    done
    if [ $# -gt 0 ]; then
        echo "Docker's own packages take the place of $*; images, containers and volumes stay"
        apt remove "$@" || return 1
    fi
    apt install docker-ce docker-ce-cli containerd.io docker-buildx-plugin docker-compose-plugin
}

live_restore() { [ "$(docker info -f '{{.LiveRestoreEnabled}}')" = true ]; }

apply() {
    if ! docker compose version; then
        engine || return 1
    elif systemctl is-active -q docker; then
        # Some settings need a restart. The reload takes up live-restore, with which containers run on meanwhile.
        systemctl reload docker
        tries=0
        until live_restore || [ "$tries" -ge 5 ]; do
            tries=$((tries + 1))
            sleep 1
        done
        systemctl restart docker || return 1
    fi
    systemctl enable --now -q docker
}
