# The stack's folders, large ones on the data volume
# folder PATH PLACE: a folder, or a link to its place on the data volume.
there() { if [ -n "$2" ]; then [ "$(readlink "$1")" = "/mnt/data/$2" ]; else [ -d "$1" ]; fi; }
make() {
    if [ -z "$2" ]; then mkdir -p "$1"; return; fi
    if [ -d "$1" ] && ! [ -L "$1" ] && ! rmdir "$1"; then
        echo "$1 is not empty: move what is in it to /mnt/data/$2, and the folder out of the way"
        return 1
    fi
    mkdir -p "/mnt/data/$2" "${1%/*}" && ln -sfn "/mnt/data/$2" "$1"
}
each() {
    "$1" /opt/ai-platform/scripts '' || return 1
    "$1" /opt/ai-platform/stacks '' || return 1
    "$1" /opt/ai-platform/data '' || return 1
    "$1" /opt/ai-platform/logs '' || return 1
    "$1" /opt/ai-platform/backups backups || return 1
    "$1" /opt/ai-platform/media media || return 1
    "$1" /opt/ai-platform/data/anythingllm/storage anythingllm/storage || return 1
    "$1" /opt/ai-platform/data/gdrive/sync gdrive || return 1
}

check() { each there; }
apply() (
    umask 022
    each make
)
