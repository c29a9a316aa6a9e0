# The stack's Docker network, 172.20.0.0/16
outer() {
    [ "$(docker network inspect -f '{{range .IPAM.Config}}{{.Subnet}} {{.IPRange}}{{end}}' ai-platform)" = "172.20.0.0/16 172.20.128.0/17" ]
}
check() { outer; }

apply() {
    # Containers without an address of their own get one from the upper half, so that they never take a fixed one.
    outer || docker network create --subnet 172.20.0.0/16 --gateway 172.20.0.1 --ip-range 172.20.128.0/17 ai-platform
}
