#!/bin/sh
# The users' containers and networks go with the stack that they belong to; at a reboot they stay, and come back with it.
[ "$(systemctl is-system-running)" != stopping ] || exit 0
ids() { docker "$@" -q --filter label=cloudtolocalllm.proxy; }

# shellcheck disable=SC2046  # ids
[ -z "$(ids ps -a)" ] || docker rm -f $(ids ps -a) >/dev/null
for network in $(ids network ls); do
    for guest in $(docker network inspect -f '{{range $id, $one := .Containers}}{{$id}} {{end}}' "$network"); do
        docker network disconnect -f "$network" "$guest"
    done
    docker network rm "$network" >/dev/null
done
