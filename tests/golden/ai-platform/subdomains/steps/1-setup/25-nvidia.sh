# NVIDIA's container toolkit, through which Docker hands the graphics card on
# timeout: 1200
# The same words whoever decides, the inventory or the host, so that the host is asked once. Without a card: nothing to do.
check() { ! nvidia-smi -L || { command -v nvidia-ctk && command -v nvidia-container-runtime-hook; }; }

apply() {
    if ! nvidia-smi -L; then
        echo "nvidia-smi finds no card: install NVIDIA's driver on this host first, or set gpu to none"
        return 1
    fi
    installed gnupg || { apt_lists && apt install gnupg; } || return 1
    # shellcheck disable=SC2016  # apt puts the architecture in
    (
        umask 022
        fetch https://nvidia.github.io/libnvidia-container/gpgkey /tmp/nvidia.asc &&
        gpg --batch --yes --dearmor -o /usr/share/keyrings/nvidia-container-toolkit-keyring.gpg /tmp/nvidia.asc &&
        echo 'deb [signed-by=/usr/share/keyrings/nvidia-container-toolkit-keyring.gpg] https://nvidia.github.io/libnvidia-container/stable/deb/$(ARCH) /' \
            >/etc/apt/sources.list.d/nvidia-container-toolkit.list
    ) && rm -f /tmp/nvidia.asc &&
    apt_update && apt install nvidia-container-toolkit && systemctl restart docker
}
