# The stack's Docker network, 172.21.0.0/16
outer() {
    [ "$(docker network inspect -f '{{range .IPAM.Config}}{{.Subnet}}{{end}}' lean-llm)" = 172.21.0.0/16 ]
}
check() { outer; }

apply() {
    outer || docker network create --subnet 172.21.0.0/16 lean-llm
}
