# A phone linked to Signal: scan the code under Settings, Linked devices
# interactive: true
# timeout: 600
compose() { docker compose --project-directory /opt/ai-platform -f /opt/ai-platform/compose.yaml "$@"; }
server=$(docker inspect -f 'http://{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}:8080' "$(compose ps -q signal-api 2>/dev/null)" 2>/dev/null)

check() { curl -fsS --max-time 5 "$server/v1/accounts" | grep -q '"+[0-9]'; }
apply() {
    installed qrencode || { apt_lists && apt install qrencode; } || return 1
    link=$(curl -fsS --max-time 30 "$server/v1/qrcodelink/raw?device_name=ai-platform" |
        sed -n 's/.*"device_link_uri": *"\([^"]*\)".*/\1/p' | sed 's/\\u0026/\&/g')
    [ -n "$link" ] || { echo "Signal gave no code to link with"; return 1; }
    echo "$link"
    # With the smallest margin that it draws on all four sides, the code is whole on a terminal of 80 by 24.
    qrencode -t UTF8 -l L -m 2 "$link"
    tries=0
    until check 2>/dev/null; do
        tries=$((tries + 1))
        if [ "$tries" -ge 100 ]; then echo "nobody scanned the code in five minutes"; return 1; fi
        sleep 3
    done
    echo "linked"
}
