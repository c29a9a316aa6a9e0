# The data of the services: where it is, and how it is copied and put back. $ctl/data comes with every release:
#   stack     NAME
#   volume    SERVICE VOLUME HOLD            a Docker volume; HOLD: stop or pause its users while it is read
#   database  SERVICE CONTAINER USER NAME    in a Postgres container; NAME - means all that the server has
kept=$root/backups/.kept

# facts KIND [SERVICE]: the lines of that kind and service, without the kind.
facts() {
    awk -F '\t' -v kind="$1" -v service="${2:-}" '
        $1 == kind && (service == "" || $2 == service) { print substr($0, length($1) + 2) }' "$ctl/data"
}

say() { printf '%s\n' "$*"; }

# The id of a container of the stack by its name in the Compose files, running or not.
container() {
    docker ps -aq --no-trunc --filter "label=com.docker.compose.project=$(facts stack)" \
        --filter "label=com.docker.compose.service=$1" | head -n 1
}

# A volume that is a folder of the host is there only while it is in use; the folder always is.
volume_path() {
    readlink -e "$(docker volume inspect -f '{{if eq (index .Options "o") "bind"}}{{index .Options "device"}}{{else}}{{.Mountpoint}}{{end}}' "$1")"
}

# The ids of the running containers that use a volume.
users_of() { docker ps -q --no-trunc --filter "volume=$1"; }

# room_for KILOBYTES FOLDER
room_for() {
    free=$(df -Pk "$2" | awk 'NR == 2 { print $4 }')
    [ "$free" -gt "$1" ] && return
    say "the disk is too full: $(($1 / 1024 + 1)) MB are needed in $2, $((free / 1024)) MB are free"
    return 1
}

# --- containers held while their data is read ---------------------------------------------------------------------------

# hold stop|pause ID...: noted before it is done, so that `let_go` never misses one, whoever calls it.
hold() {
    how=$1
    shift
    for id; do
        case $(docker inspect -f '{{.State.Status}}' "$id") in running | restarting) ;; *) continue ;; esac
        say "$how $id" >>"$root/backups/.held"
        docker "$how" "$id" >/dev/null || return 1
    done
}

# let_go [CONTAINER...]: start what was held again, but not those containers.
let_go() {
    [ -f "$root/backups/.held" ] || return 0
    not=$(for name; do container "$name"; done)
    result=0
    while read -r how id; do
        case $how$(docker inspect -f '{{.State.Status}}' "$id" 2>/dev/null) in
            pausepaused) docker unpause "$id" >/dev/null || result=1 ;;
            stopexited) say "$not" | grep -qxF "$id" || docker start "$id" >/dev/null || result=1 ;;
        esac
    done <"$root/backups/.held"
    rm -f "$root/backups/.held"
    return "$result"
}

# --- Postgres -----------------------------------------------------------------------------------------------------------

# sql ID USER [psql's own words]: what comes in is run in template1, so that every other database can be renamed.
sql() {
    id=$1 user=$2
    shift 2
    docker exec -i "$id" psql -qXAt -v ON_ERROR_STOP=1 -U "$user" -d template1 "$@"
}

# await_server ID USER
await_server() {
    docker start "$1" >/dev/null || return 1
    tries=0
    until docker exec "$1" pg_isready -q -h 127.0.0.1 -U "$2" </dev/null; do
        tries=$((tries + 1))
        if [ "$tries" -ge 60 ]; then
            say "the Postgres server does not answer"
            return 1
        fi
        sleep 1
    done
}

# dump ID USER NAME FILE: whole, or not at all. It is read to its end, because a list alone misses what was cut off.
dump() {
    if docker exec "$1" pg_dump -U "$2" -Fc -Z 0 --lock-wait-timeout=60s -d "$3" </dev/null >"$4.part" &&
        docker exec -i "$1" pg_restore -f /dev/null <"$4.part"; then
        mv "$4.part" "$4"
    else
        rm -f "$4.part"
        say "the database $3 could not be dumped, $(df -Pk "${4%/*}" | awk 'NR == 2 { print int($4 / 1024) }') MB are free in ${4%/*}"
        return 1
    fi
}

# load ID USER NAME FILE: the database as it was dumped. What had its name is kept aside under another.
load() {
    put_aside "$1" "$2" "$3" && docker exec -i "$1" pg_restore -U "$2" --create --exit-on-error -d template1 <"$4" && return
    say "the database $3 could not be loaded"
    take_from_aside "$1" "$2" "$3"
    return 1
}

# Nobody is in a database that is renamed. One that is aside already is the true one: a restore was broken off.
put_aside() {
    sql "$1" "$2" -v name="$3" >/dev/null <<'SQL'
SELECT 'ctl_aside_' || md5(:'name') AS aside \gset
SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = :'name';
SELECT format('DROP DATABASE %I WITH (FORCE)', :'name')
    WHERE (SELECT count(*) FROM pg_database WHERE datname IN (:'name', :'aside')) = 2 \gexec
SELECT format('ALTER DATABASE %I RENAME TO %I', :'name', :'aside')
    WHERE EXISTS (SELECT FROM pg_database WHERE datname = :'name') \gexec
SQL
}

take_from_aside() {
    sql "$1" "$2" -v name="$3" >/dev/null <<'SQL'
SELECT 'ctl_aside_' || md5(:'name') AS aside \gset
SELECT format('DROP DATABASE IF EXISTS %I WITH (FORCE)', :'name')
    WHERE EXISTS (SELECT FROM pg_database WHERE datname = :'aside') \gexec
SELECT format('ALTER DATABASE %I RENAME TO %I', :'aside', :'name')
    WHERE EXISTS (SELECT FROM pg_database WHERE datname = :'aside') \gexec
SQL
}

drop_aside() {
    sql "$1" "$2" >/dev/null <<'SQL'
SELECT format('DROP DATABASE %I WITH (FORCE)', datname) FROM pg_database WHERE datname ~ '^ctl_aside_[0-9a-f]{32}$' \gexec
SQL
}

# --- an upgrade is a transaction ----------------------------------------------------------------------------------------

# keep_data RELEASE CONTAINER...: called before containers get another image, on the way to that release.
# On the way forward their data is copied; on the way back to the release that went through last it is put back.
# They are left stopped, to be recreated; if this fails, they run again and nothing has changed.
keep_data() (
    going_to=$1
    shift
    forward='' back=''
    for service in $(for name; do docker inspect -f '{{index .Config.Labels "ctl.service"}}' "$(container "$name")"; done | sort -u); do
        [ -n "$(facts volume "$service")$(facts database "$service")" ] || continue
        if [ ! -d "$kept/$service" ] || still_of "$service"; then
            forward="$forward $service"
        elif [ "$going_to" = "$(cat "$ctl/current")" ]; then
            back="$back $service"
        else
            say "the data of $service is kept already, from before the change that did not go through"
        fi
    done
    [ -n "$forward$back" ] || exit 0
    (umask 077 && mkdir -p "$kept") || exit 1
    let_go # what a run that was killed left held
    for service in $back; do put_back "$service" || exit 1; done
    [ -n "$forward" ] || exit 0
    # shellcheck disable=SC2086  # names of services
    if room_for "$(size_of $forward)" "$kept" && hold_all "$*" $forward; then
        for service in $forward; do
            copy "$service" "$*" || {
                rm -rf "$kept/$service.new"
                let_go
                exit 1
            }
        done
        let_go "$@"
    else
        let_go
        exit 1
    fi
)

# keep RELEASE CONTAINER...: the same as a part of a run.
keep() {
    event keep "$@"
    logged keep_data "$@" || failed keep "$2"
}

# The run went through: there is no way back to the data of before.
drop_kept_data() { rm -rf "$kept"; }

# Whether the containers of a kept service still are those of which the copy was made.
still_of() {
    while read -r name image; do
        [ "$(docker inspect -f '{{.Image}}' "$(container "$name")" </dev/null)" = "$image" ] || return 1
    done <"$kept/$1/images"
}

# Kilobytes of the data of some services.
size_of() {
    {
        for service; do
            for volume in $(facts volume "$service" | cut -f 2); do du -sk "$(volume_path "$volume")" | cut -f 1; done
            facts database "$service" | while read -r _ name user database; do
                [ "$database" = - ] || sql "$(container "$name")" "$user" -v name="$database" <<'SQL'
SELECT pg_database_size(datname) / 1024 FROM pg_database WHERE datname = :'name';
SQL
            done
        done
    } | awk '{ total += $1 } END { print total + 1024 }'
}

# hold_all "CONTAINER..." SERVICE...: stop these containers, and whoever else uses their volumes.
hold_all() {
    # shellcheck disable=SC2086  # names of containers
    ids=$(for name in $1; do container "$name"; done)
    shift
    for service; do
        for volume in $(facts volume "$service" | cut -f 2); do ids="$ids $(users_of "$volume")"; done
    done
    # shellcheck disable=SC2086  # ids
    hold stop $ids
}

# copy SERVICE "CONTAINER...": a database is dumped unless its server itself changes, for then its volume is copied.
copy() {
    to=$kept/$1.new
    say "copying the data of $1"
    rm -rf "$to"
    mkdir -p "$to/volumes" "$to/databases" || return 1
    for volume in $(facts volume "$1" | cut -f 2); do
        cp -a --reflink=auto "$(volume_path "$volume")" "$to/volumes/$volume" || return 1
    done
    facts database "$1" >"$to/list"
    while read -r _ name user database; do
        case " $2 " in *" $name "*) continue ;; esac
        [ "$database" != - ] || continue
        dump "$(container "$name")" "$user" "$database" "$to/databases/$name.$user.$database" || return 1
    done <"$to/list"
    for name in $2; do
        [ "$(docker inspect -f '{{index .Config.Labels "ctl.service"}}' "$(container "$name")")" = "$1" ] || continue
        say "$name $(docker inspect -f '{{.Image}}' "$(container "$name")")"
    done >"$to/images"
    rm -rf "${kept:?}/$1" && mv "$to" "$kept/$1"
}

# put_back SERVICE: its data as it was kept. Done again from the start if it was broken off.
put_back() {
    say "putting the data of $1 back to that of $(date -u -r "$kept/$1/images" '+%Y-%m-%d %H:%M:%S UTC')"
    names=$(cut -d ' ' -f 1 "$kept/$1/images")
    hold_all "$names" "$1" || return 1
    for from in "$kept/$1/volumes"/*; do
        [ -d "$from" ] || continue
        path=$(volume_path "${from##*/}") && find "$path" -mindepth 1 -delete && cp -a --reflink=auto "$from/." "$path/" || return 1
    done
    for from in "$kept/$1/databases"/*; do
        [ -f "$from" ] || continue
        # NAME.USER.DATABASE; none of the three holds a dot.
        name=${from##*/} && database=${name##*.} && name=${name%.*} && user=${name##*.} && name=${name%.*}
        server=$(container "$name")
        await_server "$server" "$user" && load "$server" "$user" "$database" "$from" && drop_aside "$server" "$user" || return 1
    done
    # shellcheck disable=SC2086  # names of containers
    let_go $names
}
