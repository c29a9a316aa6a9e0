# The stack's Docker network, 172.24.0.0/16, and those without a way outside
inner() { [ "$(docker network inspect -f '{{.Internal}}' "$1")" = true ]; }
outer() {
    [ "$(docker network inspect -f '{{range .IPAM.Config}}{{.Subnet}}{{end}}' cloudtolocalllm-proxy-network)" = 172.24.0.0/16 ]
}
check() { outer && inner cloudtolocalllm-user-network && inner cloudtolocalllm-data && inner cloudtolocalllm-docker; }

apply() {
    inner cloudtolocalllm-user-network || docker network create --internal --subnet 172.25.0.0/24 cloudtolocalllm-user-network || return 1
    inner cloudtolocalllm-data || docker network create --internal cloudtolocalllm-data || return 1
    inner cloudtolocalllm-docker || docker network create --internal cloudtolocalllm-docker || return 1
    outer || docker network create --subnet 172.24.0.0/16 cloudtolocalllm-proxy-network
}
