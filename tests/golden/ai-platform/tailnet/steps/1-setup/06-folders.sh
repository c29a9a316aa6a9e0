# The stack's folders
# folder PATH PLACE: a folder, or a link to its place on the data volume.
there() { [ -d "$1" ]; }
make() { mkdir -p "$1"; }
each() {
    "$1" /home/ubuntu/ai-platform/scripts '' || return 1
    "$1" /home/ubuntu/ai-platform/stacks '' || return 1
    "$1" /home/ubuntu/ai-platform/data '' || return 1
    "$1" /home/ubuntu/ai-platform/logs '' || return 1
    "$1" /home/ubuntu/ai-platform/backups backups || return 1
    "$1" /home/ubuntu/ai-platform/media media || return 1
    "$1" /home/ubuntu/ai-platform/data/anythingllm/storage anythingllm/storage || return 1
    "$1" /home/ubuntu/ai-platform/data/gdrive/sync gdrive || return 1
}

check() { each there; }
apply() (
    umask 022
    each make
)
