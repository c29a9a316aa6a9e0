# Lines that begin with "@ " are events, read by the client; everything else that is printed stands behind "| ".
event() { printf '@ %s\n' "$*"; }

# Run a command with its output in the log and without the lock, which only this process may hold; returns its status.
# On a full disk neither the status is lost, for it is in no file, nor the command, for somebody reads on what it says.
logged() {
    {
        status=$({
            { "$@" 2>&1 3>&- 4>&- 9>&-; echo $? >&3; } | { sed -u 's/^/| /' >&4; cat >/dev/null; } 3>&- 9>&-
        } 3>&1)
    } 4>&1
    return "$status"
}

# The last words have room of their own, which `start` has set apart.
finish() {
    rm -f "$run/room"
    event exit "$1"
    echo "$1" >"$run/exit"
    exit "$1"
}

failed() {
    rm -f "$run/room"
    full
    event fail "$@"
    finish 1
}

# What a full disk breaks can often not say so itself.
full() {
    df -Pk "$root" /var/lib/docker /var /tmp 2>/dev/null |
        awk 'NR > 1 && $4 < 1024 && !said[$6]++ { print "| there is no space left on the disk of " $6 }'
}

# One run begins once only, whoever starts it again; and it holds the lock for exactly as long as it lives. It was
# planned for a host on which `after` was the last run: when another one came in between, the plan is worth nothing.
begin() {
    if ! mkdir "$run/begun" 2>/dev/null; then
        [ -d "$run/begun" ] && exit 0
        rm -f "$run/room"
        mkdir "$run/begun" || exit 1
    fi
    exec </dev/null >>"$run/log" 2>&1
    echo $$ >"$run/pid" || { rm -f "$run/room" && echo $$ >"$run/pid"; }
    exec 9>"$ctl/lock"
    if ! flock -n 9; then
        event locked "$(cat "$ctl/holder" 2>/dev/null)"
        finish 4
    fi
    if [ -f "$run/after" ] && [ "$(cat "$run/after")" != "$(cat "$ctl/last" 2>/dev/null)" ]; then
        event overtaken "$(cat "$ctl/holder" 2>/dev/null)"
        finish 4
    fi
    {
        echo "${run##*/}" >"$ctl/last.new" && mv -f "$ctl/last.new" "$ctl/last" && cp "$run/holder" "$ctl/holder" &&
            mkdir -p "$ctl/releases" "$ctl/stamps" && rm -rf "$ctl/releases/$1" &&
            mv "$run/release" "$ctl/releases/$1"
    } || {
        rm -f "$ctl/last.new"
        failed begin "$1"
    }
    blobs=$ctl/releases/$1/files
    event release "$1"
}

# set_aside PATH: what ctl did not write itself is kept beside the run's log before it is replaced.
set_aside() {
    [ -f "$1" ] || return 0
    grep -q "^$(sha256sum <"$1" | cut -d ' ' -f 1)	.*	$1$" "$ctl/applied" 2>/dev/null && return
    mkdir -p "$run/kept${1%/*}" && cp -p "$1" "$run/kept$1" && echo "| $1 as it was: $run/kept$1"
}

# put SHA MODE OWNER PATH: written beside, then renamed, so that nobody ever reads half a file.
put() {
    event put "$4"
    if set_aside "$4" && { [ -d "${4%/*}" ] || (umask 022; mkdir -p "${4%/*}"); } &&
        install -m "$2" -o "${3%:*}" -g "${3#*:}" "$blobs/$1" "$4.ctl-new" && mv -f "$4.ctl-new" "$4"; then
        printf '%s\t%s\t%s\t%s\n' "$1" "$2" "$3" "$4" >>"$ctl/applied"
    else
        rm -f "$4.ctl-new"
        failed put "$4"
    fi
}

# A unit that goes is stopped first: no tunnel is to live on that nobody wants any more. A service's folder goes when
# nothing is left in it.
del() {
    event del "$1"
    case $1 in
    /etc/systemd/system/*.service | /etc/systemd/system/*.timer)
        logged systemctl disable -q --now "${1##*/}"
        # Its own stop fails where its containers went first; a failed unit would be remembered without its file.
        systemctl reset-failed "${1##*/}" 2>/dev/null
        ;;
    esac
    rm -f "$1" || failed del "$1"
    case $1 in
    /etc/systemd/system/*) logged systemctl daemon-reload ;;
    "$root"/stacks/*/*) (cd "$root/stacks" && left=${1#"$root/stacks/"} && rmdir -p "${left%/*}" 2>/dev/null) ;;
    esac
}

# step ID FUNCTION SECONDS FINGERPRINT: apply, look again, and leave a stamp.
step() {
    event step "$1"
    started=$(date +%s)
    logged timeout -k 10 "$3" sh "$script" apply "$2" || failed step "$1" $?
    logged timeout -k 10 60 sh "$script" check "$2" || failed check "$1"
    stamp "$1" "$4"
    event 'done' "$1" $(($(date +%s) - started))
}

# The same for a step without which the stack does run: that it failed is told, and the next deploy tries again.
attempt() {
    event step "$1"
    started=$(date +%s)
    if logged timeout -k 10 "$3" sh "$script" apply "$2" && logged timeout -k 10 60 sh "$script" check "$2"; then
        stamp "$1" "$4"
        event 'done' "$1" $(($(date +%s) - started))
    else
        event warn "$1"
    fi
}

# stamp ID FINGERPRINT: what tells later that the step was done, and from what.
stamp() {
    { mkdir -p "$ctl/stamps/${1%/*}" && echo "$2" >"$ctl/stamps/$1.new" && mv -f "$ctl/stamps/$1.new" "$ctl/stamps/$1"; } ||
        failed stamp "$1"
}

pull() {
    docker image inspect "$1" >/dev/null 2>&1 && return
    event pull "$1"
    logged docker pull -q "$1" || failed pull "$1"
}

# build IMAGE SHA: from the release's own copy of the build context. The name of the image tells what it was built from.
build() {
    docker image inspect "$1" >/dev/null 2>&1 && return
    event build "$1"
    logged docker build -t "$1" - <"$blobs/$2" || failed build "$1"
}

compose() { docker compose --project-directory "$root" -f "$root/compose.yaml" "$@"; }

# up SECONDS FLAG CONTAINER...: start, and wait until their health checks pass.
up() {
    limit=$1 flag=$2 deadline=$(($(date +%s) + $1))
    shift 2
    event up "$@"
    sweep "$@"
    bring "$@" && return
    # Compose gives up at the first that is unhealthy, which to the engine is also one that it does not check yet.
    while settling "$@" && [ "$(date +%s)" -lt "$deadline" ]; do sleep 1; done
    sick=
    for name in "$@"; do
        case $(health "$name") in
        healthy | running) ;;
        *) sick="$sick $name" ;;
        esac
    done
    # Whatever runs then need not be what was asked for.
    [ "$sick" ] || { bring "$@" && return; } || failed up "$@"
    for name in "$@"; do
        case " $sick " in
        *" $name "*)
            event unhealthy "$name" "$(health "$name")"
            logged docker logs --tail 20 "$(compose ps -aq "$name" | head -n 1)"
            ;;
        *) event healthy "$name" ;;
        esac
    done
    finish 6
}

bring() {
    # shellcheck disable=SC2086  # one option or none
    logged compose up -d --no-deps --no-build $flag --wait --wait-timeout "$limit" "$@" || return
    for name in "$@"; do event healthy "$name"; done
}

# The health of a container, its state where it has no check or does not run.
health() {
    docker inspect -f '{{if and .State.Running .State.Health}}{{.State.Health.Status}}{{else}}{{.State.Status}}{{end}}' \
        "$(compose ps -aq "$1" | head -n 1)" 2>/dev/null || echo missing
}

# Whether one of them may still become healthy: one that does not crash again and again.
settling() {
    for name in "$@"; do
        [ "$(health "$name")" = starting ] || continue
        [ "$(docker inspect -f '{{.RestartCount}}' "$(compose ps -aq "$name" | head -n 1)")" -lt 3 ] && return
    done
    return 1
}

# roll SECONDS NAME: every container of it makes room for a new one, one after the other, and none before the new one is
# healthy. Whoever is talking to the old one ends in peace; who comes anew finds it closed, and the proxy asks another.
roll() {
    limit=$1 name=$2
    event roll "$name"
    sweep "$name"
    for old in $(compose ps -q "$name"); do
        before=$(compose ps -q "$name")
        if ! beside "$before"; then
            new=$(compose ps -aq "$name" | grep -vxF "$before")
            event unhealthy "$name" "$(docker inspect -f '{{if .State.Health}}{{.State.Health.Status}}{{else}}{{.State.Status}}{{end}}' "$new" 2>/dev/null || echo missing)"
            logged docker logs --tail 20 "$new"
            logged docker rm -f "$new"
            finish 6
        fi
        logged retire "$old" || failed roll "$name"
    done
    # Their number may be another now, too.
    logged compose up -d --no-deps --no-build --no-recreate --wait --wait-timeout "$limit" "$name" || failed up "$name"
    event healthy "$name"
}

# beside IDS: one more container than these, which nobody is let into before it is healthy: Docker's DNS tells the proxy of
# it as soon as it runs.
beside() {
    count=$(($(echo "$1" | wc -l) + 1))
    logged compose up --no-start --no-deps --no-build --no-recreate --scale "$name=$count" "$name" || return
    new=$(compose ps -aq "$name" | grep -vxF "$1")
    logged docker start "$new" && logged shut "$new" "$limit" &&
        logged compose up -d --no-deps --no-build --no-recreate --scale "$name=$count" --wait --wait-timeout "$limit" "$name" &&
        logged reopen "$new"
}

# retire ID: let nobody in any more, wait for those who are inside, for as long as the container asks for; then stop it.
retire() {
    pid=$(docker inspect -f '{{.State.Pid}}' "$1") || return 0
    grace=$(docker inspect -f '{{.Config.StopTimeout}}' "$1" | sed 's/[^0-9]//g')
    shut "$1" $((${grace:-10} + 60))
    ticks=0
    while [ "$(guests "$pid")" -gt 0 ] && [ "$ticks" -lt $((${grace:-10} * 5)) ]; do
        sleep 0.2
        ticks=$((ticks + 1))
    done
    docker stop "$1" && docker rm -f "$1"
}

# shut ID SECONDS: refuse whoever comes anew, for so long at most: a run that is killed leaves no container shut for ever.
# Its own network namespace is the place, as containers of one network reach each other past the host's firewall.
shut() {
    inside "$1" nft -f - <<NFT
table inet ctl_door {
    set shut {
        type inet_service
        flags interval, timeout
        elements = { 0-65535 timeout ${2}s }
    }
    chain input {
        type filter hook input priority 0
        iif lo accept
        tcp flags & (syn | ack) == syn tcp dport @shut reject with tcp reset
    }
}
NFT
}

reopen() { inside "$1" nft delete table inet ctl_door; }

# inside ID COMMAND...: in the container's network, with the host's programs.
inside() {
    pid=$(docker inspect -f '{{.State.Pid}}' "$1") || return
    shift
    nsenter -t "$pid" -n "$@"
}

# guests PID: how many connections others have to the ports on which that process's container listens.
guests() {
    cat "/proc/$1/net/tcp" "/proc/$1/net/tcp6" 2>/dev/null | awk '
        { split($2, here, ":") }
        $4 == "0A" { listens[here[2]] = 1 }
        $4 == "01" && here[1] !~ /0100007F$/ { port[++n] = here[2] }
        END { for (i = 1; i <= n; i++) count += port[i] in listens; print count + 0 }'
}

# What a run that was broken off has made and not started: its name would be in the way. Nothing is in it yet. And what has
# stopped and was on a network that is gone by now: it cannot be started again.
sweep() {
    for id in $(compose ps -aq --status created "$@" 2>/dev/null); do
        logged docker rm "$id"
    done
    for id in $(compose ps -aq --status exited "$@" 2>/dev/null); do
        for network in $(docker inspect -f '{{range .NetworkSettings.Networks}}{{.NetworkID}} {{end}}' "$id"); do
            docker network inspect "$network" >/dev/null 2>&1 && continue
            logged docker rm "$id"
            break
        done
    done
}

remove() {
    event remove "$1"
    # In its own time: what it holds is to be on its disk. A database may come back to it.
    logged docker stop "$2" || :
    logged docker rm -f "$2" || failed remove "$1"
}

# The run went through: from now on this release is the one that is on the host.
settle() {
    rm -f "$run/room"
    {
        cp "$run/applied" "$ctl/applied.new" && mv -f "$ctl/applied.new" "$ctl/applied" &&
            echo "$1" >"$ctl/current.new" && mv -f "$ctl/current.new" "$ctl/current" &&
            printf '%s\t%s\t%s\n' "$(date +%s)" "$1" "${run##*/}" >>"$ctl/settled"
    } || {
        rm -f "$ctl/applied.new" "$ctl/current.new"
        failed settle "$1"
    }
    drop_kept_data
    tidy
    finish 0
}

# Releases that went through are kept whole, the newest ten of them, with their images; and the newest fifty runs.
tidy() {
    keep=$(cut -f 2 "$ctl/settled" | tac | awk '!seen[$0]++' | head -n 10)
    for old in "$ctl"/releases/*; do
        echo "$keep" | grep -qxF "${old##*/}" && continue
        images=$(cat "$old/images")
        rm -rf "$old"
        for image in $images; do
            cat "$ctl"/releases/*/images | grep -qxF "$image" || docker image rm "$image" >/dev/null 2>&1
        done
    done
    # Their order is that of the clients' clocks: this one need not be among the newest.
    find "$ctl/runs" -mindepth 1 -maxdepth 1 -type d ! -path "$run" | sort -r | tail -n +50 | xargs -r rm -rf
    # What was being sent when the power failed; nothing is sent for as long as that.
    find "$ctl/runs" -mindepth 1 -maxdepth 1 -name '*.new.*' -mmin +60 -exec rm -rf {} +
}
