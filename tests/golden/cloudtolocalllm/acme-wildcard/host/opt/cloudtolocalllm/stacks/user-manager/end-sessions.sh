#!/bin/sh
# The users' containers and networks go with the stack that they belong to; at a reboot they stay, and come back with it.
[ "$(systemctl is-system-running)" != stopping ] || exit 0
ids() { docker "$@" -q --filter label=cloudtolocalllm.proxy; }

# shellcheck disable=SC2046  # ids
[ -z "$(ids ps -a)" ] || docker rm -f $(ids ps -a) >/dev/null
# nginx too, should it have stopped: a container that is on a network that is gone does not start again.
doors=$(docker ps -aq --filter label=com.docker.compose.project=cloudtolocalllm --filter label=ctl.service=nginx)
for network in $(ids network ls); do
    for door in $doors; do docker network disconnect -f "$network" "$door" 2>/dev/null; done
    docker network rm "$network" >/dev/null
done
