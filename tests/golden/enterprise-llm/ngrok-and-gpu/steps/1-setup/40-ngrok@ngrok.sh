# The ngrok agent, and a user for it
check() { command -v ngrok && getent passwd ngrok; }
apply() {
    if ! getent passwd ngrok; then
        useradd --system --user-group --no-create-home --shell /usr/sbin/nologin ngrok || return 1
    fi
    if ! command -v ngrok; then
        (umask 022; mkdir -p /etc/apt/keyrings) &&
        fetch https://ngrok-agent.s3.amazonaws.com/ngrok.asc /etc/apt/keyrings/ngrok.asc &&
        echo 'deb [signed-by=/etc/apt/keyrings/ngrok.asc] https://ngrok-agent.s3.amazonaws.com bookworm main' \
            >/etc/apt/sources.list.d/ngrok.list &&
        chmod 0644 /etc/apt/keyrings/ngrok.asc /etc/apt/sources.list.d/ngrok.list &&
        apt_update &&
        apt install ngrok
    fi
}
