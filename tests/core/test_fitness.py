"""Whether a host can carry a release: what is refused, with which words, before anything is touched."""

from __future__ import annotations

from typing import Any

import pytest
from samples import container_fact, fit, release, rendered, settled

from ctl.core.errors import HostUnfit
from ctl.core.fitness import preflight, published
from ctl.core.plan import plan
from ctl.core.probe import Facts, parse
from ctl.core.release import Container, File

ROOT = "/opt/small"
COMPOSE = b"services:\n  proxy:\n    ports: ['0.0.0.0:443:443', '127.0.0.1:8080:80/tcp', '8448-8450:8448-8450']\n"
PROXY = Container("proxy", "proxy", "proxy:1", "f3")
SMALL = release(
    files=(*release().files, File(f"{ROOT}/proxy/compose.yaml", COMPOSE, 2)),
    containers=(*release().containers, PROXY),
)
ON = {"docker": "running"}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"os": "fedora", "os_name": "Fedora 42"}, "Fedora 42 is not supported"),
        ({"os": "", "os_name": ""}, "this system is not supported"),
        ({"arch": "i686", "bits": "32"}, "i686 (32 bit) is not supported"),
        ({"arch": "x86_64", "bits": "32"}, "x86_64 (32 bit) is not supported"),
        ({"arch": "riscv64"}, "riscv64 (64 bit) is not supported"),
        ({"systemd": False}, "the host does not run systemd"),
        ({"missing_tools": ("flock", "tar")}, "the host has no flock, tar"),
        ({"memory": 511}, "the stack declares 512 MB of memory, the host has 511 MB"),
        ({"disk_free": 1023}, f"the stack declares 1024 MB of disk, 1023 MB are free at {ROOT}"),
    ],
)
def test_a_host_that_cannot_carry_the_release(change: dict[str, Any], message: str) -> None:
    with pytest.raises(HostUnfit) as caught:
        preflight(plan(SMALL, fit(**change)))
    assert caught.value.message == message
    assert caught.value.hint
    assert caught.value.exit_code == 1


@pytest.mark.parametrize(
    "change",
    [
        {},
        {"os": "ubuntu", "os_like": "debian"},
        {"os": "linuxmint", "os_like": "ubuntu debian"},
        {"arch": "aarch64"},
        {"memory": 512, "disk_free": 1024},
        {"current": "x", "disk_free": 10},
    ],
)
def test_a_host_that_can(change: dict[str, Any]) -> None:
    preflight(plan(SMALL, fit(**change)))


@pytest.mark.parametrize(
    ("around", "message"),
    [
        (
            {"networks": (("blog", "172.30.0.0/16"),)},
            "172.30.0.0/24 is wanted, and the Docker network blog has 172.30.0.0/16",
        ),
        ({"networks": (("small", "172.31.0.0/24"),)}, "the network small has another subnet than 172.30.0.0/24"),
        ({"routes": (("172.30.0.0/25", "wg0"),)}, "172.30.0.0/24 is wanted, and the route over wg0 has 172.30.0.0/25"),
        ({"listeners": (("0.0.0.0", 443, "nginx"),)}, "0.0.0.0:443 is wanted, and nginx listens there"),
        ({"listeners": (("127.0.0.1", 443, "stunnel"),)}, "0.0.0.0:443 is wanted, and stunnel listens there"),
        ({"listeners": (("::", 8080, ""),)}, "127.0.0.1:8080 is wanted, and something listens there"),
        ({"listeners": (("*", 8449, "java"),)}, "0.0.0.0:8449 is wanted, and java listens there"),
        (
            {
                "listeners": (("0.0.0.0", 8448, "docker-proxy"),),
                "neighbours": (("blog", "web", "0.0.0.0:8448-8449->80-81/tcp, [::]:8448-8449->80-81/tcp"),),
            },
            "0.0.0.0:8448 is wanted, and the container web listens there",
        ),
    ],
)
@pytest.mark.parametrize("phases", [(1, 2, 3, 4), (2,)])
def test_what_others_have_taken_is_refused(around: dict[str, Any], message: str, phases: tuple[int, ...]) -> None:
    todo = plan(SMALL, fit(**ON, **around), phases=phases)
    with pytest.raises(HostUnfit) as caught:
        preflight(todo)
    assert caught.value.message == message
    assert caught.value.hint
    assert caught.value.exit_code == 1


@pytest.mark.parametrize(
    "around",
    [
        {"networks": (("small", "172.30.0.0/24"),), "routes": (("172.30.0.0/24", "br-1"),)},
        {"networks": (("bridge", "172.17.0.0/16"), ("six", "fd00::/64")), "routes": (("172.17.0.0/16", "docker0"),)},
        {"routes": (("default", "eth0"), ("10.0.0.0/8", "eth0"), ("0.0.0.0/1", "tun0"), ("128.0.0.0/1", "tun0"))},
        {"listeners": (("10.0.0.1", 8080, "java"), ("0.0.0.0", 22, "sshd"))},
        {
            "listeners": (("0.0.0.0", 443, "docker-proxy"),),
            "neighbours": (("small", "p", "0.0.0.0:443->443/tcp, 0.0.0.0:8448-8450->8448-8450/tcp"),),
        },
        # Docker has stopped: its doors and its bridges are still there.
        {
            "docker": "stopped",
            "listeners": (("0.0.0.0", 443, "docker-proxy"),),
            "routes": (("172.30.0.0/24", "br-1"),),
        },
    ],
)
def test_what_is_ours_or_in_nobodys_way_is_not(around: dict[str, Any]) -> None:
    preflight(plan(SMALL, fit(**{**ON, **around})))


def test_a_stack_that_stands_is_not_asked_where_it_wants_to_be() -> None:
    """What came after it, such as a route of a VPN, may be in its way, but no deploy makes it worse."""
    late = {"routes": (("172.30.0.0/25", "wg0"),), "listeners": (("127.0.0.1", 443, "stunnel"),)}
    preflight(plan(SMALL, settled(SMALL, **late)))


def test_a_proxy_that_stands_still_meets_who_took_its_place() -> None:
    others = tuple(container_fact(each) for each in release().containers)
    still = settled(
        SMALL,
        containers=(*others, container_fact(PROXY, state="exited", health="")),
        listeners=(("0.0.0.0", 443, "apache2"),),
    )
    with pytest.raises(HostUnfit, match="apache2 listens there"):
        preflight(plan(SMALL, still))
    preflight(plan(SMALL, still, phases=(1,)))


def test_the_doors_are_those_that_compose_will_open() -> None:
    assert published(SMALL) == [
        ("0.0.0.0", 443),
        *(("0.0.0.0", port) for port in (8448, 8449, 8450)),
        ("127.0.0.1", 8080),
    ]
    whole = rendered("ai-platform", vars={"domain": "ai.tail1234.ts.net"})
    assert [port for _, port in published(whole)] == list(range(8443, 8458))
    doors = published(rendered(vars={"access": "public", "tls": "acme", "domain": "example.com", "address": "0.0.0.0"}))
    assert doors == [("0.0.0.0", 80), ("0.0.0.0", 443)]


def test_a_port_on_the_tailnet_is_taken_by_who_listens_everywhere() -> None:
    whole = rendered("ai-platform", vars={"domain": "ai.tail1234.ts.net"})
    room = {**ON, "memory": 64000, "disk_free": 99000}
    preflight(plan(whole, fit(**room, listeners=(("127.0.0.1", 8443, "java"),))))
    with pytest.raises(HostUnfit, match="the port 8443 is wanted, and java listens there"):
        preflight(plan(whole, fit(**room, listeners=(("*", 8443, "java"),))))


SAID = """\
ctl-probe\t1
listen\t0.0.0.0:443\tnginx
listen\t[::]:22\tsshd
listen\t*:80\t
listen\t127.0.0.53%lo:53\tsystemd-resolve
listen\tnonsense\t
neighbour\tblog\tblog-web-1\t0.0.0.0:80->80/tcp, [::]:80->80/tcp
network\tsmall\t172.30.0.0/24 fd00::/64 \x20
route\tdefault\teth0
end
"""


def test_reading_who_else_is_there() -> None:
    assert parse(SAID.encode()) == Facts(
        listeners=(("0.0.0.0", 443, "nginx"), ("::", 22, "sshd"), ("*", 80, ""), ("127.0.0.53", 53, "systemd-resolve")),
        neighbours=(("blog", "blog-web-1", "0.0.0.0:80->80/tcp, [::]:80->80/tcp"),),
        networks=(("small", "172.30.0.0/24"), ("small", "fd00::/64")),
        routes=(("default", "eth0"),),
    )
