"""ctl doctor on a real host that is bare: what is in the way is found, and nothing is touched."""

from __future__ import annotations

import shlex
from typing import Any

from lab_project import Project, until
from lab_server import Server

# The lock of dpkg's front ends, as apt-get takes it.
HOLD = """
open F, "+>>", "/var/lib/dpkg/lock-frontend";
my $lock = pack("s s x4 q q l x4", F_WRLCK, 0, 0, 0, 0);
fcntl(F, F_SETLK, $lock) or die;
sleep 300;
"""
HOLDERS = 'grep -q ":$(stat -c %i /var/lib/dpkg/lock-frontend) " /proc/locks && echo held || true'


def findings(project: Project, server: Server) -> tuple[int, dict[str, list[dict[str, Any]]]]:
    said = project.ctl("doctor", server.name, "--json")
    found: dict[str, list[dict[str, Any]]] = {}
    for check in said.data["checks"]:
        found.setdefault(check["name"], []).append(check)
    return said.code, found


def test_a_bare_host_is_ready(bare: Server, project: Project) -> None:
    project.write(bare.name)
    code, found = findings(project, bare)
    assert code == 0, found
    assert {check["state"] for checks in found.values() for check in checks} <= {"ok", "note"}
    assert found["docker"][0]["text"] == "is not there yet; setup installs it"
    bare.assert_untouched()


def test_what_is_in_the_way_is_named(bare: Server, project: Project) -> None:
    project.write(bare.name, vars={"access": "public", "tls": "acme", "domain": "lab-doctor.invalid"})
    bare.sh("/usr/sbin/sshd -p 8443")
    bare.sh("ip route add 172.21.9.0/24 dev eth0")
    bare.sh(f"printf %s {shlex.quote(HOLD)} >/tmp/hold.pl; systemd-run -q --unit=busy perl -MFcntl /tmp/hold.pl")
    until("the lock to be held", lambda: "held" in bare.sh(HOLDERS))
    try:
        code, found = findings(project, bare)
    finally:
        bare.sh("systemctl stop busy; ip route del 172.21.9.0/24 dev eth0; kill $(cat /run/sshd.pid) || true")
    assert code == 1
    assert [check["text"] for check in found["ports"] if check["state"] == "problem"] == [
        "0.0.0.0:8443 is wanted, and sshd listens there"
    ]
    assert "the route over eth0 has 172.21.9.0/24" in found["network"][0]["text"]
    assert (found["packages"][0]["state"], found["packages"][0]["text"]) == (
        "warning",
        "perl is at work on the package system",
    )
    assert {check["state"] for check in found["dns"]} == {"problem"}
    assert found["certificates"][0]["state"] == "note"
    bare.assert_untouched()
