# One look at the host: lines of tab-separated words, the first naming what the line tells. Changes nothing.
say() {
    line=$1
    shift
    for word in "$@"; do line="$line	$word"; done
    printf '%s\n' "$line"
}

os() {
    (
        # shellcheck source=/dev/null
        . /etc/os-release
        say os "${ID:-}" "${ID_LIKE:-}" "${VERSION_ID:-}" "${VERSION_CODENAME:-}" "${PRETTY_NAME:-}"
    )
}

machine() {
    say arch "$(uname -m)" "$(getconf LONG_BIT 2>/dev/null)"
    say memory "$(sed -n 's/^MemTotal: *\([0-9]*\) kB/\1/p' /proc/meminfo)" \
        "$(sed -n 's/^MemAvailable: *\([0-9]*\) kB/\1/p' /proc/meminfo)"
    place=$root
    while [ ! -d "$place" ]; do place=${place%/*} && place=${place:-/}; done
    say disk "$(df -Pk "$place" | awk 'NR == 2 { print $2 "\t" $4 }')"
    say time "$(date +%s)"
    if [ -d /run/systemd/system ]; then say systemd yes; else say systemd no; fi
    say tools "$(for tool in flock tar gzip base64 tail sed apt-get; do command -v $tool >/dev/null || printf '%s ' $tool; done)"
}

memory_of_runs() {
    say current "$(cat "$ctl/current" 2>/dev/null)"
    say last "$(cat "$ctl/last" 2>/dev/null)"
    if [ -f "$ctl/lock" ] && ! flock -n "$ctl/lock" true; then say lock "$(cat "$ctl/holder" 2>/dev/null)"; fi
    [ -f "$ctl/secrets.env" ] && sed -n '/^#/!q; s/^# digest \([^ ]*\) \([^ ]*\)$/secret\t\1\t\2/p' "$ctl/secrets.env"
    [ -f "$ctl/applied" ] && sed 's/^/applied\t/' "$ctl/applied"
    # What is left of an earlier choice tells nothing.
    [ -x "$root/certbot/certificate" ] && [ -f "$root/certbot/problem" ] && say refused "$(head -c 2000 "$root/certbot/problem" | tr '\n\t' '  ')"
    [ -d "$ctl/stamps" ] && (cd "$ctl/stamps" && find . -type f ! -name '*.new' -printf '%P\n') | while read -r id; do
        say stamp "$id" "$(cat "$ctl/stamps/$id")"
    done
}

# Of the wanted files, and of those put here earlier: digest, mode, owner.
files() {
    {
        printf '%s\n' "$@"
        [ -f "$ctl/applied" ] && cut -f 4 "$ctl/applied"
    } | sort -u | while read -r path; do
        [ -f "$path" ] && printf '%s\0' "$path"
    done >"$list"
    [ -s "$list" ] || return 0
    xargs -0 sha256sum <"$list" | sed 's/^\([0-9a-f]*\)  /sha\t\1\t/'
    xargs -0 stat -L -c 'mode	%a	%U:%G	%n' <"$list"
}

containers() {
    if ! command -v docker >/dev/null; then say docker none; return; fi
    table='container	{{.ID}}	{{.Label "com.docker.compose.service"}}	{{.State}}	{{.Status}}	{{.Label "ctl.fingerprint"}}	{{.Image}}	{{.Label "ctl.service"}}'
    if docker ps -a --no-trunc --filter "label=com.docker.compose.project=$stack" --format "$table" 2>/dev/null; then
        say docker running
    else
        say docker stopped
    fi
}

# spawned STACK.LABEL: how many containers STACK-LABEL-… run that a service has started itself, outside of Compose.
spawned() {
    command -v docker >/dev/null && ids=$(docker ps -q --filter "label=$1" --filter "name=^$(echo "$1" | tr . -)-" 2>/dev/null) || return 0
    say spawned "$1" "$(echo "$ids" | grep -c .)"
}

# Who else is on this host: what listens, containers, and the subnets that are taken.
others() {
    command -v ss >/dev/null &&
        ss -Hltnp 2>/dev/null | awk '{ process = $6; sub(/^users:\(\("/, "", process); sub(/".*/, "", process); print "listen\t" $4 "\t" process }'
    ip -4 -o route show 2>/dev/null | awk '{ for (i = 1; i < NF; i++) if ($i == "dev") print "route\t" $1 "\t" $(i + 1) }'
    command -v docker >/dev/null || return 0
    docker ps --no-trunc --format 'neighbour	{{.Label "com.docker.compose.project"}}	{{.Names}}	{{.Ports}}' 2>/dev/null
    docker network ls -q 2>/dev/null | xargs -r docker network inspect \
        -f 'network	{{.Name}}	{{range .IPAM.Config}}{{.Subnet}} {{end}}' 2>/dev/null
}

# cards SYS PROC: NVIDIA's graphics cards, as the bus, their driver and the release that is here know of them.
cards() {
    for card in "$1"/bus/pci/devices/*; do
        { read -r vendor <"$card/vendor" && read -r class <"$card/class"; } 2>/dev/null || continue
        case $vendor,$class in 0x10de,0x03*) say card "${card##*/}" ;; esac
    done
    [ -f "$2/driver/nvidia/version" ] &&
        say driver "$(sed -n 's/^NVRM version:.* \([0-9][0-9]*\.[0-9.]*\) .*/\1/p' "$2/driver/nvidia/version")"
    # A driver in trouble may keep it waiting for ever.
    command -v nvidia-smi >/dev/null && timeout 15 nvidia-smi -L 2>/dev/null | sed -n 's/^GPU [0-9]*: \(.*\) (UUID: .*/gpu\t\1/p'
    grep -qs '^ "gpu": "nvidia"' "$ctl/releases/$(cat "$ctl/current" 2>/dev/null)/release.json" && say given yes
}

units() {
    [ "$#" -eq 0 ] && return
    systemctl show --property=Id,ActiveState,SubState,UnitFileState "$@" 2>/dev/null | awk -F= '
        $1 == "Id" { id = $2 } $1 == "ActiveState" { active = $2 } $1 == "SubState" { sub_ = $2 }
        $1 == "UnitFileState" { print "unit\t" id "\t" active "\t" sub_ "\t" $2 }'
}

# Checks run side by side: each tells its answer in one short write, which no other can break into.
check() {
    if ("$2" check) </dev/null >/dev/null 2>&1; then answer=yes; else answer=no; fi
    printf 'check\t%s\t%s\n' "$1" $answer
}

# external NAME URL PATH: asked from where the containers are: on the bridge, where their host.docker.internal leads.
external() {
    bridge=$(ip -4 -o addr show docker0 2>/dev/null | sed -n 's/.* inet \([0-9.]*\).*/\1/p')
    port=${2##*:} && port=${port%%/*}
    printf 'external\t%s\t%s\n' "$1" "$(curl -s -o /dev/null -m 3 -w '%{http_code}' \
        --resolve "host.docker.internal:$port:${bridge:-127.0.0.1}" "$2$3")"
}

# certificate PROXY NAME PORT: what the proxy shows to who asks for that name, whatever its files hold. Asked in the
# stack's own network, where it listens however it is published.
certificate() {
    command -v openssl >/dev/null || return
    at=$(docker ps -q --filter "label=com.docker.compose.project=$stack" --filter "label=ctl.service=$1" | xargs -r docker inspect \
        -f '{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}' 2>/dev/null | awk '{ print $1; exit }')
    [ -n "$at" ] || return
    printf 'certificate\t%s\t%s\n' "$2" "$(timeout 5 openssl s_client -connect "$at:$3" -servername "$2" </dev/null 2>/dev/null |
        openssl x509 -outform DER 2>/dev/null | base64 -w 1000 | paste -s -)"
}
