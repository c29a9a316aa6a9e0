# A key of the gateway for each of anythingllm, dify, n8n, openclaw
# inputs: /opt/ai-platform/stacks/litellm/keys/clients
keys=/opt/ai-platform/stacks/litellm/keys
compose() { docker compose --project-directory /opt/ai-platform -f /opt/ai-platform/compose.yaml "$@"; }
server=$(docker inspect -f 'http://{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}' "$(compose ps -q litellm 2>/dev/null)" 2>/dev/null)
server=${server%% *}:4000      # it may be on several networks
# Keys come from files or on stdin, and appear in no list of processes.
ask() { curl -sS --max-time 20 -H 'Content-Type: application/json' "$@"; }
opens() { printf 'Authorization: Bearer %s\n' "$2" | ask -f -o /dev/null -H @- "$server/v1/models"; }
each() { while read -r name key; do "$1" "$name" "$key" </dev/null || return 1; done <"$keys/clients"; }

check() { each opens; }
make() {
    opens "$1" "$2" 2>/dev/null && return
    # One of that name with another value, after a rotation.
    ask -o /dev/null -H "@$keys/master.header" -d "{\"key_aliases\": [\"$1\"]}" "$server/key/delete"
    printf '{"key": "%s", "key_alias": "%s", "metadata": {"made_by": "ctl"}}' "$2" "$1" |
        ask -f -o /dev/null -H "@$keys/master.header" -d @- "$server/key/generate" || {
        echo "LiteLLM gave no key for $1"
        return 1
    }
}
apply() { each make; }
