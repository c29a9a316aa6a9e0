# Tailscale, from its own package repository
check() { command -v tailscale && systemctl cat tailscaled.service; }

apply() (
    # shellcheck source=/dev/null
    . /etc/os-release
    if [ -n "${UBUNTU_CODENAME:-}" ]; then
        set -- ubuntu "$UBUNTU_CODENAME"
    else
        set -- debian "${DEBIAN_CODENAME:-$VERSION_CODENAME}"
    fi
    umask 022
    mkdir -p /usr/share/keyrings &&
    fetch "https://pkgs.tailscale.com/stable/$1/$2.noarmor.gpg" /usr/share/keyrings/tailscale-archive-keyring.gpg &&
    echo "deb [signed-by=/usr/share/keyrings/tailscale-archive-keyring.gpg] https://pkgs.tailscale.com/stable/$1 $2 main" \
        >/etc/apt/sources.list.d/tailscale.list &&
    apt_update &&
    apt install tailscale
)
