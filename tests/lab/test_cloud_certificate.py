"""Certificates of an ACME authority for cloudtolocalllm: its names, through DNS, and people who stream at a renewal.

The authority (Pebble) and the name server (BIND) are real; see lab_authority.py.
"""

from __future__ import annotations

import contextlib
import http.client
import itertools
import ssl
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field

import lab_authority
import lab_cloud
import lab_server
import pytest
from cryptography import x509
from lab_authority import Authority, serial
from lab_cloud import ADMIN, ROOT, Cloud, host_of
from lab_people import People
from lab_project import Project, until
from lab_server import Door

DOMAIN = "cloud.lab.test"
NAMES = {DOMAIN, f"*.{DOMAIN}", f"*.users.{DOMAIN}"}
UNIT = "cloudtolocalllm-certificate.service"
EMAILS = ["ada@example.com", "blaise@example.com"]


@pytest.fixture(scope="module")
def authority(engine: None) -> Iterator[Authority]:
    with lab_authority.fresh_authority() as made:
        yield made


@pytest.fixture(scope="module")
def bare(authority: Authority, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cloud]:
    """A host without anything, and an inventory that is yet to be written."""
    with lab_server.fresh_host(tmp_path_factory.mktemp("cloud"), "cloud-acme") as server:
        project = Project(tmp_path_factory.mktemp("project"))
        trust = ssl.create_default_context(cadata=authority.roots())
        yield Cloud(server, project, DOMAIN, {"RFC2136_SECRET": authority.secret}, trust=trust)


@pytest.fixture(scope="module")
def cloud(bare: Cloud, authority: Authority) -> Cloud:
    """After one deploy. The name server knows no address of it: the names are proven, not reached, through DNS."""
    lab_cloud.bring(bare, vars=acme(authority))
    return bare


def acme(authority: Authority) -> dict[str, object]:
    return {
        "tls": "acme",
        "acme_server": authority.directory,
        "acme_staging": authority.directory,
        "acme_dns": "rfc2136",
        "acme_dns_seconds": 1,
        "rfc2136_server": authority.address,
        "rfc2136_key": lab_authority.KEY,
    }


@pytest.mark.parametrize("command", ["plan", "deploy"])
def test_over_port_80_the_names_of_people_are_not_to_be_had(bare: Cloud, authority: Authority, command: str) -> None:
    """Refused before anything is done, with the way out."""
    given = acme(authority)
    bare.write(vars={name: given[name] for name in ("tls", "acme_server", "acme_staging")})
    with bare.server.logged() as lines:
        said = bare.ctl(command, *(["--yes"] if command == "deploy" else []))
    assert said.code == 2, said
    assert f"a certificate for *.users.{DOMAIN} is not to be had over port 80" in said.error
    assert "set acme_dns" in said.error
    assert lines == [], "the host has not even been asked"
    assert authority.orders() == 0


def test_one_deploy_ends_with_a_certificate_for_every_name(cloud: Cloud, authority: Authority) -> None:
    assert (cloud.deploy.data["result"], cloud.deploy.data["warnings"]) == ("changed", [])
    (certificate,) = cloud.ctl("status", "--json").data["certificates"]
    assert set(certificate["names"]) == NAMES
    assert (certificate["self_signed"], certificate["warning"]) == (False, None)
    assert authority.orders() == 2, "one to try, one in earnest"
    # What is shown is asked for with the authority's root alone.
    assert cloud.ask("GET", DOMAIN, "/").status == 200
    assert cloud.ask("GET", f"api.{DOMAIN}", "/healthz").status == 200
    assert cloud.ask("GET", f"users.{DOMAIN}", "/").status == 200
    session = cloud.session(ADMIN)
    assert host_of(session) == f"{session['name']}.users.{DOMAIN}"
    assert cloud.ask("GET", host_of(session), "/health").status == 200
    assert cloud.ask("GET", f"nobody-aaaaaa.users.{DOMAIN}", "/").status == 404
    assert authority.orders() == 2, "nobody's session is a reason for another certificate"
    assert names(cloud, host_of(session)) == NAMES


def test_the_second_deploy_is_empty_and_port_80_is_closed(cloud: Cloud) -> None:
    said = cloud.ctl("plan", "--json", "--detailed-exitcode")
    assert (said.code, said.data["changes"]) == (0, [])
    assert cloud.server.answering((22, 80, 443, 8443)) == {22, 8443}


def test_a_renewal_fails_no_handshake_and_ends_no_stream(cloud: Cloud) -> None:
    due(cloud)
    with People(cloud, EMAILS) as people, Visitor(cloud, people.all[0].name) as visitor:
        began, old = time.monotonic(), shown(cloud)
        people.go_on()
        renewed = cloud.server.inside.run(f"systemctl start {UNIT}")
        assert renewed.rc == 0, cloud.server.sh(f"journalctl -u {UNIT} -n 30")
        until("another certificate to be shown", lambda: visitor.serials and visitor.serials[-1] != old)
        heard = {one.email: one.heard for one in people.all}
        people.go_on()
        until("more of the long answers", lambda: all(one.heard > heard[one.email] + 20 for one in people.all))
        assert people.trouble(began) == {}
    assert visitor.failures == []
    assert len(visitor.serials) > 20
    assert set(visitor.serials) == {old, shown(cloud)}
    assert names(cloud, f"api.{DOMAIN}") == NAMES
    assert cloud.ctl("plan", "--detailed-exitcode").code == 0


def due(cloud: Cloud) -> None:
    """The certificate's end is near enough for certbot."""
    file = f"{ROOT}/certbot/config/renewal/cloudtolocalllm.conf"
    cloud.server.sh(f"sed -i 's/^# renew_before_expiry.*/renew_before_expiry = 100 days/' {file}")
    assert "renew_before_expiry = 100 days" in cloud.server.sh(f"cat {file}")


def certificate_of(cloud: Cloud, name: str) -> str:
    """What the door of that name shows, in PEM, if the authority's root vouches for it."""
    door = Door(cloud.server.lab.ip, name, cloud.trust)
    try:
        door.connect()
        return ssl.DER_cert_to_PEM_cert(door.sock.getpeercert(binary_form=True))
    finally:
        door.close()


def shown(cloud: Cloud) -> str:
    return serial(certificate_of(cloud, DOMAIN))


def names(cloud: Cloud, door: str) -> set[str]:
    found = x509.load_pem_x509_certificate(certificate_of(cloud, door).encode())
    return set(
        found.extensions.get_extension_for_class(x509.SubjectAlternativeName).value.get_values_for_type(x509.DNSName)
    )


@dataclass
class Visitor:
    """Comes again and again to the portal, the API and somebody's session, each time with a connection of its own."""

    cloud: Cloud
    person: str
    serials: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    def __enter__(self) -> Visitor:
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work)
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        self._thread.join(30)

    def _work(self) -> None:
        doors = ((DOMAIN, "/"), (f"api.{DOMAIN}", "/healthz"), (f"{self.person}.users.{DOMAIN}", "/health"))
        for name, path in itertools.cycle(doors):
            # Slower than what one address may ask.
            if self._over.wait(0.04):
                return
            try:
                self._ask(name, path)
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(f"{name}: {error!r}")

    def _ask(self, name: str, path: str) -> None:
        with contextlib.closing(Door(self.cloud.server.lab.ip, name, self.cloud.trust)) as door:
            door.request("GET", path)
            self.serials.append(serial(ssl.DER_cert_to_PEM_cert(door.sock.getpeercert(binary_form=True))))
            answer = door.getresponse()
            answer.read()
            if answer.status != 200:
                self.failures.append(f"{name}: {answer.status}")
