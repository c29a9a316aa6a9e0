# A key of the gateway for each of anythingllm, dify, n8n, openclaw
# inputs: /opt/ai-platform/stacks/litellm/keys/anythingllm.json /opt/ai-platform/stacks/litellm/keys/dify.json /opt/ai-platform/stacks/litellm/keys/n8n.json /opt/ai-platform/stacks/litellm/keys/openclaw.json
keys=/opt/ai-platform/stacks/litellm/keys
compose() { docker compose --project-directory /opt/ai-platform -f /opt/ai-platform/compose.yaml "$@"; }
server=$(docker inspect -f 'http://{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}:4000' "$(compose ps -q litellm 2>/dev/null)" 2>/dev/null)
# Keys come from files, and appear in no list of processes.
ask() { curl -sS --max-time 20 -H 'Content-Type: application/json' "$@"; }
opens() { ask -f -o /dev/null -H "@$keys/$1.header" "$server/v1/models"; }
each() {
    "$1" anythingllm || return 1
    "$1" dify || return 1
    "$1" n8n || return 1
    "$1" openclaw || return 1
}

check() { each opens; }
make() {
    opens "$1" 2>/dev/null && return
    # One of that name with another value, after a rotation.
    ask -o /dev/null -H "@$keys/master.header" -d "{\"key_aliases\": [\"$1\"]}" "$server/key/delete"
    ask -f -o /dev/null -H "@$keys/master.header" -d "@$keys/$1.json" "$server/key/generate" || {
        echo "LiteLLM gave no key for $1"
        return 1
    }
}
apply() { each make; }
