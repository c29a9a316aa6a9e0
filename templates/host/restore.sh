# The runs of `ctl backup` and `ctl restore`. Around this text stand the settings, run.sh and data.sh.
target=$root/backups/.restore
begun=$root/backups/.restoring # there as long as what is aside is the data to go back to

# A run like a deploy's: it begins once, and its log is followed. With a word it takes the lock.
enter() {
    mkdir "$run/begun" 2>/dev/null || exit 0
    exec </dev/null >>"$run/log" 2>&1
    echo $$ >"$run/pid"
    [ -n "${1:-}" ] || return 0
    exec 9>"$ctl/lock"
    if ! flock -n 9; then
        event locked "$(cat "$ctl/holder" 2>/dev/null)"
        finish 4
    fi
    cp "$run/holder" "$ctl/holder"
}

# The script of the timer takes the lock itself.
backup_now() {
    enter
    if [ ! -x "$1" ]; then
        say "| there is no $1: deploy first"
        failed backup "$(facts stack)"
    fi
    logged "$1" 0
    code=$?
    [ "$code" -ne 4 ] || event locked "$(cat "$ctl/holder" 2>/dev/null)"
    [ "$code" -eq 0 ] || [ "$code" -eq 4 ] || event fail backup "$(facts stack)"
    finish "$code"
}

# restore SNAPSHOT: everything is fetched and checked before anything is touched; what was there is kept aside until
# what came in its place is healthy, and comes back if it is not.
restore() {
    enter lock
    trap 'rm -rf "$target" "$run/repository.env"' EXIT
    # shellcheck source=/dev/null
    . "$run/repository.env"
    rm -rf "$run/repository.env" "$target"
    mkdir -p "$target" || failed restore "$1"
    event step fetch
    logged fetch "$1" || failed restore "$1"
    event 'done' fetch 0
    stage=$(find "$target" -type d -path '*/backups/.stage')
    event step put-back
    if logged replace; then
        event up all
        if logged compose --progress quiet up -d --no-recreate --wait --wait-timeout 300; then
            rm -f "$begun" "$root/backups/.held"
            logged forget_aside
            event 'done' put-back 0
            finish 0
        fi
        unhealthy=$(docker ps -a --filter "label=com.docker.compose.project=$(facts stack)" --format '{{.Label "com.docker.compose.service"}} {{.Status}}' |
            sed -n '/(healthy)/!s/ .*//p')
        for name in $unhealthy; do event unhealthy "$name"; done
    fi
    if logged revert && logged compose --progress quiet up -d --no-recreate --wait --wait-timeout 300; then
        say "| what was there before is back"
    else
        say "| what was there before did not come back whole: see docker ps -a, and restore again"
    fi
    [ -z "${unhealthy:-}" ] || finish 6
    failed restore "$1"
}

fetch() {
    bytes=$(restic stats --no-lock --json --mode restore-size "$1" | sed -n 's/.*"total_size":\([0-9]*\).*/\1/p')
    room_for $((${bytes:-0} / 1024)) "$target" || return 1
    say "fetching $((${bytes:-0} / 1048576)) MB of snapshot $1"
    restic restore --no-lock --quiet --verify "$1" --target "$target" || return 1
    stage=$(find "$target" -type d -path '*/backups/.stage')
    if [ ! -f "$stage/volumes" ] || [ ! -f "$stage/dumps/list" ]; then
        say "the snapshot $1 was not made by this program"
        return 1
    fi
    [ ! -s "$stage/sums" ] || (cd "$stage/dumps" && sha256sum --quiet -c "$stage/sums") || return 1
    while read -r _ name _; do
        [ -n "$(container "$name")" ] || { say "the snapshot holds a database of $name, which is not part of this stack"; return 1; }
    done <"$stage/dumps/list"
}

# `VOLUME PATH OLD-PATH` of each volume that is both in the snapshot and here.
restored_volumes() {
    while read -r _ volume old; do
        if path=$(volume_path "$volume" 2>/dev/null); then
            say "$volume $path $target$old"
        else
            say "the volume $volume is not part of this stack: left out" >&2
        fi
    done <"$stage/volumes"
}

hold_all_but_servers() {
    servers=$(cut -f 2 "$stage/dumps/list" | sort -u | while read -r name; do container "$name"; done)
    # shellcheck disable=SC2046  # ids
    hold stop $(docker ps -q --no-trunc --filter "label=com.docker.compose.project=$(facts stack)" | grep -vxF "${servers:-none}")
}

# Volumes, then roles and databases, while nobody but the database servers is at work.
replace() {
    let_go
    restored_volumes >"$stage/here"
    hold_all_but_servers || return 1
    [ -f "$begun" ] || forget_aside || return 1
    : >"$begun"
    while read -r volume path from; do
        say "volume $volume"
        volume_aside "$path" && find "$from" -mindepth 1 -maxdepth 1 -exec mv -t "$path" {} + &&
            chown --reference="$from" "$path" && chmod --reference="$from" "$path" || return 1
    done <"$stage/here"
    while read -r number name user database; do
        server=$(container "$name")
        await_server "$server" "$user" || return 1
        if [ "$name" != "${last:-}" ]; then
            # Roles that are there already stay; the server's own user keeps its password.
            grep -vE "^(CREATE|ALTER) ROLE \"?$user\"?[ ;]" "$stage/dumps/$name.roles" | docker exec -i "$server" psql -qX -U "$user" -d template1 >/dev/null 2>&1
        fi
        last=$name
        say "database $name/$database"
        load "$server" "$user" "$database" "$stage/dumps/$number.dump" || return 1
    done <"$stage/dumps/list"
    # The passwords of the services' own roles are those of this host.
    facts database | cut -f 2,3 | sort -u | while read -r name user; do
        own=$root/stacks/$name/databases.sql
        [ ! -f "$own" ] || sql "$(container "$name")" "$user" <"$own" || exit 1
    done
}

revert() {
    hold_all_but_servers || return 1
    while read -r _ path _; do volume_from_aside "$path" || return 1; done <"$stage/here"
    while read -r _ name user database; do
        take_from_aside "$(container "$name")" "$user" "$database" || return 1
    done <"$stage/dumps/list"
    rm -f "$begun"
    let_go
}

forget_aside() {
    while read -r _ path _; do rm -rf "$(aside_of "$path")"; done <"$stage/here"
    cut -f 2,3 "$stage/dumps/list" | sort -u | while read -r name user; do
        await_server "$(container "$name")" "$user" && drop_aside "$(container "$name")" "$user" || exit 1
    done
}

aside_of() { say "${1%/*}/.ctl-aside-${1##*/}"; }

# What is aside already is what was there before a restore that was broken off; what it left is worth nothing.
volume_aside() {
    aside=$(aside_of "$1")
    if [ -d "$aside" ]; then
        find "$1" -mindepth 1 -delete
    else
        mkdir -p "$aside.new" && find "$1" -mindepth 1 -maxdepth 1 -exec mv -t "$aside.new" {} + && mv "$aside.new" "$aside"
    fi
}

volume_from_aside() {
    aside=$(aside_of "$1")
    if [ -d "$aside" ]; then find "$1" -mindepth 1 -delete; else aside=$aside.new; fi
    [ ! -d "$aside" ] || { find "$aside" -mindepth 1 -maxdepth 1 -exec mv -t "$1" {} + && rmdir "$aside"; }
}
