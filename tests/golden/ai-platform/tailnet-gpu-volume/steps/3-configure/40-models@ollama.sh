# Ollama's models: llama3.2:3b, qwen2.5:14b
# timeout: 3600
compose() { docker compose --project-directory /opt/ai-platform -f /opt/ai-platform/compose.yaml "$@"; }
server() {
    docker inspect -f 'http://{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}:11434' "$(compose ps -q ollama)"
}
# Each in turn; one that cannot be had keeps none of the others away.
each() {
    all=0
    "$1" llama3.2:3b || all=1
    "$1" qwen2.5:14b || all=1
    return $all
}

there() {
    case $1 in *:*) tagged=$1 ;; *) tagged=$1:latest ;; esac
    case $list in *"\"name\":\"$tagged\""*) ;; *) return 1 ;; esac
}
check() { list=$(curl -fsS --max-time 5 "$(server)/api/tags" | tr -d ' ') && each there; }

# What it says of the progress is a line of JSON several times a second; every tenth of a layer is told.
pull() {
    there "$1" && return
    curl -sS -N --max-time 3500 -d "{\"model\":\"$1\"}" "$(server)/api/pull" | tr -d ' ' | awk -v model="$1" '
        function number(name,   text) {
            if (!match($0, "\"" name "\":[0-9]+")) return 0
            text = substr($0, RSTART, RLENGTH)
            sub(/.*:/, "", text)
            return text + 0
        }
        /"error":/ { sub(/.*"error":"/, ""); sub(/".*/, ""); print "the model " model " cannot be had: " $0; failed = 1 }
        number("total") {
            tenth = int(10 * number("completed") / number("total"))
            if (tenth != told) printf "%s: %d %% of %d MB\n", model, 10 * tenth, number("total") / 1e6
            told = tenth
            fflush()
        }
        /"status":"success"/ { done = 1 }
        END {
            if (!done && !failed) print "the model " model " cannot be had: its download broke off"
            exit !(done && !failed)
        }'
}
apply() {
    list=$(curl -fsS --max-time 5 "$(server)/api/tags" | tr -d ' ') || return 1
    each pull && return
    echo "models are named as in https://ollama.com/library; all others are there"
    return 1
}
