# The stack's folders
# folder PATH PLACE: a folder, or a link to its place on the data volume.
there() { [ -d "$1" ]; }
make() { mkdir -p "$1"; }
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
