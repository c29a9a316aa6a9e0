# Ollama's models: llama3.2:3b
# timeout: 3600
compose() { docker compose --project-directory /opt/ai-platform -f /opt/ai-platform/compose.yaml "$@"; }
server() {
    docker inspect -f 'http://{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}:11434' "$(compose ps -q ollama)"
}
# Each in turn; one that cannot be had keeps none of the others away.
each() {
    all=0
    "$1" llama3.2:3b || all=1
    return $all
}

there() {
    case $1 in *:*) tagged=$1 ;; *) tagged=$1:latest ;; esac
    case $list in *"\"name\":\"$tagged\""*) ;; *) return 1 ;; esac
}
listed() { list=$(curl -fsS --max-time 5 "$(server)/api/tags") && list=$(printf %s "$list" | tr -d ' '); }
check() { listed && each there; }

# Its progress is a line of JSON several times a second; every tenth of a layer is told, as soon as it is known.
pull() {
    there "$1" && return
    curl -sS -N --max-time 3500 -d "{\"model\":\"$1\"}" "$(server)/api/pull" | sed -un '
        s/" *: */":/g
        s/.*"total":\([1-9][0-9]*\), *"completed":\([0-9]*\).*/layer \1 \2/p
        s/.*"error":"\([^"]*\)".*/error \1/p
        s/.*"status":"success".*/success/p' | {
        told='' why=''
        while read -r what size now; do
            case $what in
            layer)
                tenth=$((10 * now / size))
                [ "$tenth" = "$told" ] || echo "$1: $((10 * tenth)) % of $((size / 1000000)) MB"
                told=$tenth
                ;;
            error) why="$size $now" ;;
            success) return ;;
            esac
        done
        echo "the model $1 cannot be had: ${why:-the download broke off}" >>"$missed"
        return 1
    }
}
fetch_missing() {
    missed=$(mktemp) || return 1
    each pull
    found=$?
    cat "$missed"
    rm "$missed"
    [ "$found" -eq 0 ] || echo "names are as in https://ollama.com/library"
    return $found
}
apply() { listed && fetch_missing; }
