# The stack's Docker network, 172.22.0.0/16, and those without a way outside
inner() { [ "$(docker network inspect -f '{{.Internal}}' "$1")" = true ]; }
outer() {
    [ "$(docker network inspect -f '{{range .IPAM.Config}}{{.Subnet}}{{end}}' enterprise-llm)" = 172.22.0.0/16 ]
}
check() { outer && inner enterprise-llm-engine && inner enterprise-llm-data; }

apply() {
    inner enterprise-llm-engine || docker network create --internal enterprise-llm-engine || return 1
    inner enterprise-llm-data || docker network create --internal enterprise-llm-data || return 1
    outer || docker network create --subnet 172.22.0.0/16 enterprise-llm
}
