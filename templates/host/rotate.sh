# What every recipe for a new secret begins with: the old value and the new one, from stdin, in shell variables only.
# A recipe sets the new value whatever the present one is, so that it can run twice. printf is the shell's own: what it
# is given stands in no process list.
export LC_ALL=C.UTF-8 HOME=/root PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
set -u
compose() { docker compose --project-directory "$root" -f "$root/compose.yaml" "$@"; }
# shellcheck disable=SC2034
IFS= read -r old && IFS= read -r new || exit 64
