# certbot, which asks for certificates, with its plugin for rfc2136
# timeout: 900
plugin=python3-certbot-dns-rfc2136
venv=/opt/cloudtolocalllm/certbot/venv
check() { installed certbot openssl && { installed "$plugin" || "$venv/bin/python" -c 'import certbot_dns_rfc2136'; }; }
apply() {
    apt_lists && apt install --no-install-recommends certbot openssl || return 1
    if apt-cache show "$plugin" >/dev/null 2>&1; then
        apt install --no-install-recommends "$plugin"
        return
    fi
    # Not every release packages every plugin. PyPI has them all: the one that belongs to this certbot, beside it.
    (umask 022 && mkdir -p /opt/cloudtolocalllm/certbot) && apt install --no-install-recommends python3-venv &&
    python3 -m venv --system-site-packages "$venv" &&
    "$venv/bin/pip" install -q --disable-pip-version-check --no-input \
        "certbot-dns-rfc2136==$(certbot --version | sed 's/.* //')"
}
