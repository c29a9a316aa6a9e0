# One backup: databases as dumps, volumes with their users held, configuration, secrets, image digests: one encrypted
# snapshot, read back, then the old ones forgotten. Around this text stand the settings and the functions of data.sh.
stage=$root/backups/.stage

stop() {
    say "backup: $*" >&2
    exit 1
}

# Nothing half-written is left, and whoever was held runs again, however this ends.
leave() {
    code=$?
    trap '' EXIT INT TERM HUP
    woken="${woken:-} $(cut -d ' ' -f 2 "$root/backups/.held" 2>/dev/null)"
    let_go || { say "backup: not every container could be started again: docker ps -a" >&2; code=1; }
    rm -rf "$stage" "$stage.said"
    await_health
    exit $code
}

# begin_backup SECONDS: hold the lock that a deploy holds; wait so long for it.
begin_backup() {
    [ -f "$ctl/current" ] || stop "nothing is deployed here yet"
    exec 9>"$ctl/lock"
    if ! flock -w "$1" 9; then
        say "locked $(cat "$ctl/holder" 2>/dev/null)"
        exit 4
    fi
    say "root@$(hostname) since $(date -u '+%Y-%m-%d %H:%M:%S UTC'), backing up" >"$ctl/holder"
    trap leave EXIT
    trap 'exit 130' INT TERM HUP
    let_go
    rm -rf "$stage"
    mkdir -p "$stage/dumps" || stop "$(free_in "$root/backups")"
}

free_in() { say "$(df -Pk "$1" | awk 'NR == 2 { print int($4 / 1024) }') MB are free in $1"; }

# A repository that is not there yet is made. One that does not open with our password is told from it by its config file.
open_repository() {
    restic cat config >/dev/null 2>"$stage/said" && return
    ! grep -q 'wrong password' "$stage/said" || stop "BACKUP_PASSWORD does not open $RESTIC_REPOSITORY: another host's?"
    say "making the repository $RESTIC_REPOSITORY"
    restic init >/dev/null 2>>"$stage/said" || { cat "$stage/said" >&2; stop "the repository cannot be opened, nor made"; }
}

# The volumes to read: not those of a server whose databases are dumped. `HOLD VOLUME PATH`, a line each.
volumes() {
    dumped=$(facts database | awk -F '\t' '$4 == "-" { print $2 }' | while read -r name; do container "$name"; done)
    facts volume | while read -r _ volume how; do
        docker ps -aq --no-trunc --filter "volume=$volume" | grep -qxF "${dumped:-none}" && continue
        path=$(volume_path "$volume" 2>/dev/null) || { say "the volume $volume is not there" >&2; continue; }
        say "$how $volume $path"
    done
}

# Every database of every server, and its roles: dumps/N.dump, with a line `N CONTAINER USER NAME` in dumps/list.
dump_all() {
    number=0
    : >"$stage/dumps/list"
    facts database | awk -F '\t' '$4 == "-" { print $2, $3 }' >"$stage/servers"
    while read -r name user; do
        id=$(container "$name")
        await_server "$id" "$user" || return 1
        docker exec "$id" pg_dumpall -U "$user" --globals-only </dev/null >"$stage/dumps/$name.roles" || return 1
        sql "$id" "$user" >"$stage/databases" <<'SQL' || return 1
SELECT datname FROM pg_database WHERE datallowconn AND NOT datistemplate AND datname !~ '^ctl_aside_' ORDER BY 1;
SQL
        while IFS= read -r database; do
            number=$((number + 1))
            say "dumping $name/$database"
            dump "$id" "$user" "$database" "$stage/dumps/$number.dump" || return 1
            printf '%s\t%s\t%s\t%s\n' "$number" "$name" "$user" "$database" >>"$stage/dumps/list"
        done <"$stage/databases"
    done <"$stage/servers"
    rm -f "$stage/servers" "$stage/databases"
}

images() {
    docker ps -aq --filter "label=com.docker.compose.project=$(facts stack)" | xargs -r docker inspect -f '{{.Image}} {{.Config.Image}}' |
        sort -u | while read -r id name; do
        say "$name $(docker image inspect -f '{{range .RepoDigests}}{{.}} {{end}}' "$id")"
    done
}

# restic_backup TAG WORD...: the id of the new snapshot is left in $snapshot.
restic_backup() {
    tag=$1
    shift
    restic backup --json --quiet --host "$host" --tag "$tag" "$@" 9>&- >"$stage.said" || {
        sed -n 's/.*"message":"\([^"]*\)".*/\1/p' "$stage.said" >&2
        return 1
    }
    snapshot=$(sed -n 's/.*"snapshot_id":"\([0-9a-f]*\)".*/\1/p' "$stage.said" | cut -c 1-8)
    rm -f "$stage.said"
    [ -n "$snapshot" ]
}

backup() {
    started=$(date +%s)
    open_repository
    volumes >"$stage/volumes"
    # shellcheck disable=SC2046  # paths of volumes
    set -- $(cut -d ' ' -f 3 "$stage/volumes")
    # First everything while the services run: the second pass, with its users held, has only the changes left to read.
    first=
    if [ $# -gt 0 ]; then
        say "reading $(du -smc "$@" | tail -n 1 | cut -f 1) MB of volumes"
        restic_backup "$(facts stack).first-pass" "$@" || say "the first pass was not whole; the second one decides"
        first=${snapshot:-}
    fi
    while read -r how volume _; do
        for id in $(users_of "$volume"); do hold "$how" "$id" </dev/null || stop "a user of $volume could not be held"; done
    done <"$stage/volumes"
    held=$(date +%s)
    dump_all || stop "the databases could not be dumped; no snapshot was made"
    images >"$stage/images"
    [ ! -s "$stage/dumps/list" ] || (cd "$stage/dumps" && sha256sum -- *.dump >"$stage/sums") || stop "$(free_in "$stage")"
    restic_backup "$(facts stack)" ${first:+--parent "$first"} "$@" "$stage" "$root/compose.yaml" "$root/stacks" "$root/proxy" \
        "$ctl/current" "$ctl/data" "$ctl/releases/$(cat "$ctl/current")" || stop "no snapshot was made; those made before are as they were"
    woken=$(cut -d ' ' -f 2 "$root/backups/.held" 2>/dev/null)
    let_go || stop "not every container could be started again"
    say "held for $(($(date +%s) - held)) s"
    verify
    say "forgetting what is older than the retention"
    forget_first_passes
    # shellcheck disable=SC2086  # flags
    restic forget --quiet --host "$host" --tag "$(facts stack)" --group-by host,tags $retention --prune 9>&- >&2 ||
        stop "the snapshot $snapshot is good, but the old ones could not be forgotten"
    say "snapshot $snapshot, $(($(date +%s) - started)) s"
}

# Those of backups that broke off, too.
forget_first_passes() {
    ids=$(restic snapshots --json --host "$host" --tag "$(facts stack).first-pass" 9>&- | tr ',' '\n' |
        sed -n 's/.*"short_id":"\([0-9a-f]*\)".*/\1/p')
    # shellcheck disable=SC2086  # ids
    [ -z "$ids" ] || restic forget --quiet $ids 9>&-
}

# Docker calls a paused container unhealthy, and goes on to until its next check; a deploy would restart it.
await_health() {
    for id in $woken; do
        tries=0
        while [ "$(docker inspect -f '{{if .State.Health}}{{.State.Health.Status}}{{end}}' "$id")" = unhealthy ] && [ "$tries" -lt 60 ]; do
            tries=$((tries + 1))
            sleep 1
        done
    done
}

# Read back what was written: the dumps byte for byte, every block of the snapshot, and a sample of the older ones.
verify() {
    say "reading the snapshot $snapshot back"
    while read -r sum file; do
        [ "$(restic dump "$snapshot" "$stage/dumps/$file" 9>&- | sha256sum | cut -d ' ' -f 1)" = "$sum" ] ||
            stop "the snapshot $snapshot is damaged: $file does not read back as it was written"
    done <"$stage/sums"
    if [ "$read_back" = all ]; then
        restic dump "$snapshot" / 9>&- >/dev/null || stop "the snapshot $snapshot is damaged: it does not read back"
    fi
    restic check --quiet --read-data-subset=5% 9>&- >&2 || stop "the repository is damaged: restic check --read-data"
}
