"""What is to be refused, one a line. `{stack}` is the stack's name; values are JSON."""

from __future__ import annotations

import json

# A value that a container's body must not have, at a path of keys: each a way to more than a user's container.
CONTAINERS = """
Image "alpine:3"
Image "{stack}/proxy"
Image "{stack}/proxy:latest"
Image "evil/{stack}/proxy:0123456789ab"
Image "sha256:0123456789ab"
User "0:0"
User ""
User "1001:0"
Cmd ["sh"]
Entrypoint ["sh"]
Env []
Volumes {"/x": {}}
Healthcheck {"Test": ["CMD", "sh"]}
ExposedPorts {"1/tcp": {}}
WorkingDir "/"
Labels {}
Labels/ctl.service "nginx"
Labels/{stack}.proxy "../x"
Labels/{stack}.proxy "bbbbbbbbbbbbbbbbbbbbbbbbbb"
Labels/{stack}.user "mallory"
Env ["SESSION_ID=bbbbbbbbbbbbbbbbbbbbbbbbbb"]
HostConfig {}
HostConfig/Privileged true
HostConfig/Privileged false
HostConfig/privileged true
HostConfig/Binds ["/:/host"]
HostConfig/binds ["/:/host"]
HostConfig/Mounts [{"Type": "bind", "Source": "/", "Target": "/h"}]
HostConfig/VolumesFrom ["x"]
HostConfig/Tmpfs {"/x": ""}
HostConfig/Devices [{"PathOnHost": "/dev/sda"}]
HostConfig/DeviceRequests [{}]
HostConfig/DeviceCgroupRules ["a *:* rwm"]
HostConfig/CapAdd ["SYS_ADMIN"]
HostConfig/CapDrop []
HostConfig/CapDrop ["CHOWN"]
HostConfig/ReadonlyRootfs false
HostConfig/NetworkMode "host"
HostConfig/NetworkMode "container:x"
HostConfig/NetworkMode "{stack}"
HostConfig/NetworkMode "{stack}-user-bbbbbbbbbbbbbbbbbbbbbbbbbb"
HostConfig/PidMode "host"
HostConfig/PidMode "container:x"
HostConfig/IpcMode "host"
HostConfig/UTSMode "host"
HostConfig/UsernsMode "host"
HostConfig/CgroupnsMode "host"
HostConfig/CgroupParent "/"
HostConfig/Memory 0
HostConfig/Memory 8589934592
HostConfig/MemorySwap -1
HostConfig/NanoCpus 0
HostConfig/PidsLimit -1
HostConfig/SecurityOpt []
HostConfig/SecurityOpt ["seccomp=unconfined"]
HostConfig/MaskedPaths []
HostConfig/Sysctls {"net.ipv4.ip_forward": "1"}
HostConfig/Runtime "other"
HostConfig/OomKillDisable true
HostConfig/PortBindings {"1/tcp": [{"HostPort": "1"}]}
HostConfig/PublishAllPorts true
HostConfig/ExtraHosts ["a:1.2.3.4"]
HostConfig/Dns ["1.2.3.4"]
HostConfig/Links ["x"]
HostConfig/LogConfig {"Type": "syslog"}
HostConfig/RestartPolicy {"Name": "always"}
HostConfig/AutoRemove true
NetworkingConfig {}
NetworkingConfig/EndpointsConfig/{stack} {}
NetworkingConfig/EndpointsConfig/{stack}-user-bbbbbbbbbbbbbbbbbbbbbbbbbb {}
HostConfıg {}
"""

# The same for a network's body.
NETWORKS = """
Name "{stack}"
Name "host"
Name "{stack}-user-bbbbbbbbbbbbbbbbbbbbbbbbbb"
Driver "host"
Driver "macvlan"
Driver "ipvlan"
Internal false
internal false
Options {}
Options/com.docker.network.bridge.name "docker0"
Attachable true
Ingress true
Scope "swarm"
EnableIPv6 true
ConfigFrom {"Network": "x"}
Labels {}
IPAM {}
IPAM/Driver "other"
IPAM/Config []
IPAM/Options {"a": "b"}
IPAM/Config [{"Subnet": "10.0.0.0/8", "IPRange": null, "Gateway": null, "AuxiliaryAddresses": null}]
IPAM/Config [{"Subnet": "192.168.1.0/28", "IPRange": null, "Gateway": null, "AuxiliaryAddresses": null}]
"""

# Requests without a body; the version comes before the path.
REQUESTS = """
GET /containers/json
GET /containers/json?all=1
GET /info
GET /_ping
GET /images/json
GET /networks
GET /volumes
GET /secrets
GET /events
GET /system/df
GET /containers/{stack}-proxy-mallory/json
GET /containers/{stack}-postgres-1/json
GET /containers/{stack}-proxy-mallory/logs?stdout=1
GET /containers/{stack}-proxy-mallory/archive?path=/
PUT /containers/{stack}-proxy-mallory/archive?path=/
POST /containers/{stack}-proxy-mallory/exec
POST /exec/0/start
POST /containers/{stack}-proxy-mallory/attach?stream=1
POST /containers/{stack}-proxy-mallory/update
POST /containers/{stack}-proxy-mallory/rename?name=x
POST /containers/{stack}-proxy-mallory/rename?name={stack}-proxy-bob
POST /containers/{stack}-proxy-mallory/rename?name={stack}-spare-aaaaaaaaaaaaaaaaaaaaaaaaaa
POST /containers/{stack}-spare-aaaaaaaaaaaaaaaaaaaaaaaaaa/rename?name={stack}-nginx-1
POST /containers/{stack}-spare-aaaaaaaaaaaaaaaaaaaaaaaaaa/rename?name={stack}-spare-bbbbbbbbbbbbbbbbbbbbbbbbbb
POST /containers/{stack}-spare-aaaaaaaaaaaaaaaaaaaaaaaaaa/rename?name={stack}-proxy-bob&name=x
POST /containers/{stack}-spare-aaaaaaaaaaaaaaaaaaaaaaaaaa/rename?name={stack}-proxy-
POST /containers/{stack}-proxy-mallory/rename?name={stack}-proxy-bobxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx
POST /containers/{stack}-spare-aaaa/rename?name={stack}-proxy-bob
POST /containers/{stack}-spare-aaaa/start
POST /containers/{stack}-spare-aaaa/stop?t=1
DELETE /containers/{stack}-spare-aaaa?v=True&link=False&force=True
POST /containers/{stack}-nginx-1/rename?name={stack}-proxy-bob
GET /containers/{stack}-spare-aaaaaaaaaaaaaaaaaaaaaaaaaa/json
POST /containers/{stack}-spare-aaaaaaaaaaaaaaaaaaaaaaaaaa/exec
POST /containers/{stack}-proxy-mallory/kill
POST /containers/{stack}-nginx-1/stop?t=1
POST /containers/{stack}-nginx-1/start
POST /containers/prune
DELETE /containers/{stack}-nginx-1?v=True&link=False&force=True
DELETE /containers/{stack}-proxy-mallory?v=True&link=True&force=True
DELETE /networks/{stack}
DELETE /networks/{stack}-front
POST /networks/prune
GET /networks/{stack}-user-aaaaaaaaaaaaaaaaaaaaaaaaaa
DELETE /networks/{stack}-user-mallory
POST /networks/{stack}-front/connect
POST /images/create?fromImage=alpine
POST /build
POST /commit?container=x
POST /auth
POST /volumes/create
POST /swarm/init
POST /plugins/pull?remote=x
POST /session
POST /grpc
HEAD /version
OPTIONS /containers/{stack}-proxy-mallory/start
post /containers/{stack}-proxy-mallory/start
PATCH /containers/{stack}-proxy-mallory/start
POST /containers/{stack}-proxy-mallory/start/
POST //containers/{stack}-proxy-mallory/start
POST /containers//{stack}-proxy-mallory/start
POST /containers/{stack}-proxy-mallory/./start
POST /containers/{stack}-proxy-mallory/../{stack}-nginx-1/start
POST /containers/{stack}-proxy-mallory%2F..%2Fx/start
POST /containers/%6d/start
POST /containers/{stack}-proxy-mallory/start?detachKeys=x
POST /containers/{stack}-proxy-mallory/start#x
POST /containers/{stack}-proxy-mallory;x/start
POST /containers/{stack}-proxy-mallory/stop
POST /containers/{stack}-proxy-mallory/stop?t=1&t=99
POST /containers/{stack}-proxy-mallory/stop?t=1&signal=SIGKILL
POST /Containers/{stack}-proxy-mallory/start
POST /containers/{STACK}-PROXY-MALLORY/start
POST /containers/{stack}-proxy-malloryxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx/start
POST /containers/{stack}-proxy-/start
GET /containers/json?filters=%7B%7D
"""


def changes(table: str) -> list[tuple[str, object]]:
    lines = (line.partition(" ") for line in table.strip().splitlines())
    return [(path, json.loads(value)) for path, _, value in lines]


def requests() -> list[tuple[str, str]]:
    lines = (line.partition(" ") for line in REQUESTS.strip().splitlines())
    return [(method, path) for method, _, path in lines]
