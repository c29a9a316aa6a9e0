"""Certificates from an ACME authority: ordered on a first deploy, renewed, refused, for one name and for a wildcard.

The authority (Pebble) and the name servers (BIND) are real; see lab_authority.py.
"""

from __future__ import annotations

import contextlib
import http.client
import json
import ssl
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import lab_authority
import lab_server
import pytest
import yaml
from lab_authority import Authority, serial
from lab_project import Project, Said, until
from lab_server import Answer, Door, Server

ROOT = "/opt/ai-platform"
NAME = "web.lab.test"
UNIT = "ai-platform-certificate.service"
WITHOUT = [
    "postgres",
    "redis",
    "weaviate",
    "ollama",
    "litellm",
    "anythingllm",
    "openclaw",
    "dify",
    "signal-api",
    "gdrive",
]


@dataclass
class Site:
    """A host with nginx and one service, and an authority that sees it."""

    server: Server
    authority: Authority
    project: Project
    trust: ssl.SSLContext

    def write(self, **variables: Any) -> None:
        usual = {
            "docker_source": "distribution",
            "access": "public",
            "address": "0.0.0.0",
            "domain": NAME,
            "tls": "acme",
            "acme_server": self.authority.directory,
            "acme_staging": self.authority.directory,
        }
        entry = {"stack": "ai-platform", "without": WITHOUT, "vars": {**usual, **variables}}
        self.project.inventory.write_text(yaml.safe_dump({"hosts": {self.server.name: entry}}))

    def write_wildcard(self) -> None:
        dns = {"rfc2136_server": self.authority.address, "rfc2136_key": lab_authority.KEY, "acme_dns_seconds": 1}
        self.write(doors="subdomains", acme_dns="rfc2136", **dns)

    def ctl(self, command: str, *arguments: str, **options: Any) -> Said:
        env = {"RFC2136_SECRET": self.authority.secret}
        return self.project.ctl(command, self.server.name, *arguments, seconds=900, env=env, **options)

    def deploy(self) -> Any:
        said = self.ctl("deploy", "--yes", "--json")
        assert said.code == 0, said
        return said.data

    def status(self) -> Any:
        said = self.ctl("status", "--json")
        assert said.code == 0, said
        return said.data

    def get(self, name: str = NAME, path: str = "/", *, trust: ssl.SSLContext | None = None) -> tuple[Answer, str]:
        """One GET through the shared door, with the serial number of the certificate that it showed."""
        door = Door(self.server.lab.ip, name, trust or self.trust)
        try:
            door.request("GET", path)
            shown = door.sock.getpeercert(binary_form=True)
            answer = door.getresponse()
            body = answer.read().decode()
            return Answer(answer.status, dict(answer.getheaders()), body), serial(ssl.DER_cert_to_PEM_cert(shown))
        finally:
            door.close()

    def plain(self, path: str, name: str = NAME) -> Answer:
        """One GET at port 80."""
        door = http.client.HTTPConnection(self.server.lab.ip, 80, timeout=20)
        try:
            door.request("GET", path, headers={"Host": name})
            answer = door.getresponse()
            return Answer(answer.status, dict(answer.getheaders()), answer.read().decode())
        finally:
            door.close()

    def renewal_is_due(self) -> None:
        file = f"{ROOT}/certbot/config/renewal/ai-platform.conf"
        self.server.sh(f"sed -i 's/^# renew_before_expiry.*/renew_before_expiry = 100 days/' {file}")
        assert "renew_before_expiry = 100 days" in self.server.sh(f"cat {file}")

    def look_after(self) -> bool:
        """What the timer starts; whether it went well."""
        return bool(self.server.inside.run(f"systemctl start {UNIT}").rc == 0)


@pytest.fixture(scope="module")
def site(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """The first deploy, on a host that was bare."""
    with (
        lab_authority.fresh_authority() as authority,
        lab_server.fresh_host(tmp_path_factory.mktemp("certificates"), "certificates") as server,
    ):
        project = Project(tmp_path_factory.mktemp("project"))
        made = Site(server, authority, project, ssl.create_default_context(cadata=authority.roots()))
        authority.lead(NAME, server.lab.ip)
        made.write()
        data = made.deploy()
        assert (data["result"], data["warnings"]) == ("changed", []), data
        yield made


def test_a_first_deploy_ends_with_a_certificate_that_clients_trust(site: Site) -> None:
    answer, shown = site.get()
    assert answer.status == 200
    (certificate,) = site.status()["certificates"]
    assert certificate["names"] == [NAME]
    assert certificate["serial"] == shown
    assert (certificate["self_signed"], certificate["warning"]) == (False, None)
    assert "Pebble" in certificate["issuer"]
    assert 88 <= certificate["days"] <= 90
    assert site.authority.orders() == 2, "one to try, one in earnest"


def test_the_second_deploy_is_empty(site: Site) -> None:
    said = site.ctl("plan", "--json", "--detailed-exitcode")
    assert (said.code, said.data["changes"]) == (0, [])


def test_without_tls_there_is_only_the_way_to_https(site: Site) -> None:
    answer = site.plain("/some/page?x=1")
    assert (answer.status, answer.headers["Location"]) == (301, f"https://{NAME}:8443/some/page?x=1")
    assert "Strict-Transport-Security" not in answer.headers
    assert site.plain("/.well-known/acme-challenge/nothing").status == 404
    assert site.plain("/", "elsewhere.example.com").status == 404
    assert site.get()[0].headers["Strict-Transport-Security"] == "max-age=31536000"
    assert site.server.answering((22, 80, 443, 8080, *range(8440, 8460))) == {22, 80, 8443, 8446}


def test_what_is_on_the_host(site: Site) -> None:
    inside = site.server.inside
    for path in ("proxy/tls/key.pem", "certbot/config/archive/ai-platform/privkey1.pem"):
        file = inside.file(f"{ROOT}/{path}")
        assert (file.user, file.mode) == ("root", 0o600), path
    assert inside.service("ai-platform-certificate.timer").is_enabled
    assert inside.service("ai-platform-certificate.timer").is_running
    assert site.server.sh("ls /etc/letsencrypt/renewal 2>/dev/null || true") == "", "Debian's own timer has no work"
    security = site.server.sh(f"systemd-analyze security --no-pager {UNIT} | tail -n 1")
    assert float(security.split(":")[1].split()[0]) < 5, security


def test_as_long_as_nothing_is_due_the_timer_asks_for_nothing(site: Site) -> None:
    before, orders = site.get()[1], site.authority.orders()
    assert site.look_after()
    assert (site.get()[1], site.authority.orders()) == (before, orders)


def test_testssl_finds_nothing_of_weight(site: Site) -> None:
    """Of medium severity or above; but for what the authority, which is a toy, leaves out of its certificates."""
    door = f"--ip {site.server.lab.ip} {NAME}:8443"
    parts = "-p -s -f -S -h -U"  # all but its game of being this browser and that
    look = f"testssl --quiet --color 0 --warnings off {parts} --add-ca /tmp/roots.pem --jsonfile /tmp/found.json"
    site.authority.sh(f"cat >/tmp/roots.pem <<'END'\n{site.authority.roots()}END\nrm -f /tmp/found.json")
    site.authority.sh(f"{look} {door} >/tmp/said 2>&1 || true")
    found = json.loads(site.authority.sh("cat /tmp/found.json"))
    grave = [one for one in found if one["severity"] in {"MEDIUM", "HIGH", "CRITICAL"}]
    assert {one["id"]: one["finding"] for one in grave if one["id"] != "cert_revocation"} == {}
    assert len(found) > 50, "it did look"


@dataclass
class Client:
    """Somebody who comes again and again, each time with a connection of their own."""

    site: Site
    serials: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)

    @contextlib.contextmanager
    def at_work(self) -> Iterator[None]:
        over = threading.Event()
        worker = threading.Thread(target=self._ask, args=(over,), daemon=True)
        worker.start()
        try:
            yield
        finally:
            over.set()
            worker.join(30)

    def _ask(self, over: threading.Event) -> None:
        while not over.wait(0.01):
            try:
                answer, shown = self.site.get()
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(repr(error))
                continue
            self.serials.append(shown)
            if answer.status != 200:
                self.failures.append(str(answer.status))


def test_a_renewal_is_taken_up_without_a_failed_handshake_or_request(site: Site) -> None:
    site.renewal_is_due()
    old = site.get()[1]
    client = Client(site)
    with client.at_work():
        until("the client to be at work", lambda: client.serials)
        assert site.look_after(), site.server.sh(f"journalctl -u {UNIT} -n 30 -o cat")
        until("the client to see another certificate", lambda: client.serials[-1] != old)
        seen = len(client.serials)
        until("it to go on", lambda: len(client.serials) > seen + 20)
    assert client.failures == []
    first = next(at for at, one in enumerate(client.serials) if one != old)
    assert len(client.serials) > 20
    assert len(set(client.serials)) == 2
    # For a moment old workers may still take what had been waiting at their door.
    assert client.serials[-1] == client.serials[first]
    assert site.ctl("plan", "--json", "--detailed-exitcode").code == 0


def test_a_certificate_that_nginx_does_not_take_is_taken_back(site: Site) -> None:
    site.renewal_is_due()
    before, good = site.get()[1], site.server.sh(f"cat {ROOT}/proxy/tls/fullchain.pem | sha256sum")
    site.server.sh(
        f"cp -p {ROOT}/proxy/conf/nginx.conf /root/good && echo 'no such word;' >>{ROOT}/proxy/conf/nginx.conf"
    )
    assert not site.look_after()
    site.server.sh(f"cp -p /root/good {ROOT}/proxy/conf/nginx.conf")
    assert site.get()[1] == before
    assert site.server.sh(f"cat {ROOT}/proxy/tls/fullchain.pem | sha256sum") == good
    status = site.status()
    assert "nginx did not take the new certificate" in status["certificate_refused"]
    assert status["units"][UNIT]["active"] == "failed"
    data = site.deploy()
    assert data["warnings"] == []
    until("nginx to show the one that had been there already", lambda: site.get()[1] != before)
    assert site.status()["certificate_refused"] is None


def test_one_that_ends_soon_is_told_of(site: Site) -> None:
    tls = f"{ROOT}/proxy/tls"
    day = "date -u +%Y%m%d%H%M%SZ -d"
    span = f"-not_before $({day} '-80 days') -not_after $({day} '+10 days 1 hour')"
    site.server.sh(
        f"openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN={NAME}"
        f" -addext subjectAltName=DNS:{NAME} {span} -keyout {tls}/key.pem -out {tls}/fullchain.pem"
        f" && docker compose --project-directory {ROOT} exec -T nginx nginx -c /etc/nginx/ctl/nginx.conf -s reload"
    )
    until("nginx to show it", lambda: site.status()["certificates"][0]["self_signed"], seconds=30)
    (certificate,) = site.status()["certificates"]
    assert (certificate["days"], certificate["warning"]) == (10, "it expires in 10 days and was not renewed")
    shown = site.ctl("status").stdout
    assert f"certificate {NAME}, signed by itself, 10 days left" in shown
    assert "it expires in 10 days and was not renewed" in shown
    assert site.deploy()["warnings"] == []
    until("the authority's to be back", lambda: not site.status()["certificates"][0]["self_signed"])
    assert site.get()[0].status == 200


def test_a_wildcard_through_dns(site: Site) -> None:
    site.write_wildcard()
    assert site.deploy()["warnings"] == []
    assert site.get(f"n8n.{NAME}", "/healthz")[0].status == 200
    assert site.get(f"not-there-yet.{NAME}")[0].status == 404, "the handshake is good for any name"
    found = {tuple(sorted(certificate["names"])) for certificate in site.status()["certificates"]}
    assert found == {(f"*.{NAME}", NAME)}
    assert 80 not in site.server.answering((22, 80, 8443))
    file = site.server.inside.file(f"{ROOT}/certbot/credentials.ini")
    assert (file.user, file.mode) == ("root", 0o600)
    said = site.ctl("plan", "--json", "--detailed-exitcode")
    assert (said.code, said.data["changes"]) == (0, [])
    site.renewal_is_due()
    before = site.get()[1]
    assert site.look_after(), site.server.sh(f"journalctl -u {UNIT} -n 30 -o cat")
    until("nginx to show another certificate", lambda: site.get()[1] != before)


def test_credentials_that_the_name_server_refuses_are_named(site: Site) -> None:
    site.write_wildcard()
    site.server.sh(f"rm -rf {ROOT}/certbot/config/live {ROOT}/certbot/config/renewal {ROOT}/certbot/config/archive")
    said = site.project.ctl(
        "deploy", site.server.name, "--yes", "--json", env={"RFC2136_SECRET": "bm90IHRoZSBrZXkgYXQgYWxs"}, seconds=900
    )
    assert said.code == 0, said
    (warning,) = said.data["warnings"]
    assert "The peer didn't like the signature we sent" in warning
    assert "the DNS provider refuses the credentials" in warning
    assert site.get()[0].status == 200, "what was in place still is"
    assert site.deploy()["warnings"] == []


def test_without_dns_a_first_deploy_goes_through_with_a_certificate_of_its_own(site: Site) -> None:
    site.authority.lead(NAME, "")
    site.server.sh(f"rm -rf {ROOT}/certbot/config {ROOT}/proxy/tls/*")
    site.write()
    orders = site.authority.orders()
    said = site.ctl("deploy", "--yes")
    assert said.code == 0, said
    assert "no certificate from the authority" in said.stderr
    assert f'could not resolve URL "http://{NAME}:80/' in said.stderr
    assert "let an A record of that name lead to this host" in said.stderr
    assert site.authority.orders() == orders + 1, "the one to try; none in earnest"
    status = site.status()
    assert status["healthy"]
    assert status["certificates"][0]["self_signed"]
    assert "could not resolve" in status["certificate_refused"]
    assert [change["id"] for change in status["pending"]] == ["3-configure/25-certificate@certbot"]
    anybody = ssl.create_default_context()
    anybody.check_hostname, anybody.verify_mode = False, ssl.CERT_NONE
    assert site.get(trust=anybody)[0].status == 200
    site.authority.lead(NAME, site.server.lab.ip)
    assert site.look_after(), "once the name leads here the timer is enough"
    until("nginx to show it", lambda: not site.status()["certificates"][0]["self_signed"])
    assert site.get()[0].status == 200
    orders = site.authority.orders()
    assert site.deploy()["warnings"] == []
    assert site.authority.orders() == orders, "what the timer got is what the deploy finds"
    assert site.ctl("plan", "--json", "--detailed-exitcode").code == 0
