"""Which names a certificate is for, what is said of one that a door shows, and what certbot's words mean."""

from __future__ import annotations

import base64
import subprocess
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import der, make_templates, rendered, selection, texts

from ctl.core.certificate import Certificate, shown
from ctl.core.errors import InvalidFile, MissingValue, UnknownName
from ctl.core.inventory import Host
from ctl.core.release import Release
from ctl.core.selection import select
from ctl.core.service import Catalogue
from ctl.core.stack import decode_stack

NOW = datetime(2026, 11, 20, tzinfo=UTC)
PUBLIC = {"access": "public", "domain": "ai.example.com", "address": "0.0.0.0", "tls": "acme"}
DNS = {"acme_dns": "rfc2136", "rfc2136_server": "192.0.2.53", "rfc2136_key": "acme."}
FEW = ("dify", "weaviate", "redis", "anythingllm", "openclaw", "signal-api", "gdrive")

# --- the names --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("variables", "names", "plain"),
    [
        ({}, ("ai.example.com",), True),
        ({"doors": "subdomains"}, ("ai.example.com", "litellm.ai.example.com", "n8n.ai.example.com"), True),
        ({"doors": "subdomains", **DNS}, ("ai.example.com", "*.ai.example.com"), False),
        (DNS, ("ai.example.com",), False),
    ],
    ids=["one name", "each name", "a wildcard", "one name, through DNS"],
)
def test_what_the_certificate_is_for(variables: dict[str, Any], names: tuple[str, ...], plain: bool) -> None:
    doors = selection("ai-platform", vars={**PUBLIC, **variables}, without=FEW).doors
    assert (doors.names, doors.plain, 80 in doors.reachable) == (names, plain, plain)


STACK = """\
name: s
summary: s
network: {subnet: 172.30.0.0/24}
proxy: nginx
access: {kind: public}
doors: {domain: example.com, address: 0.0.0.0, tls: acme, dns: "{{ vars.acme_dns or '' }}", names: NAMES}
services: {n8n: {}}
"""


def own(names: str, **variables: str) -> tuple[str, ...]:
    """The names of a stack that has some beside its doors'."""
    stack = decode_stack(STACK.replace("NAMES", names), file="stacks/s/stack.yaml")
    host = Host(name="h1", address="203.0.113.1", user="root", port=22, stack="s", vars=variables)
    return select(host, stack, Catalogue(texts()), make_templates(texts()), source="inventory.yaml").doors.names


def test_a_stack_has_further_names_wildcards_among_them() -> None:
    names = own("[api.example.com, users.example.com, '*.users.example.com', a.users.example.com]", **DNS)
    assert names == ("example.com", "*.example.com", "*.users.example.com"), "what a wildcard covers is not named again"


def test_a_wildcard_needs_dns() -> None:
    with pytest.raises(InvalidFile, match=r"\*\.users\.example\.com is not to be had over port 80") as caught:
        own("['*.users.example.com']")
    assert "set acme_dns" in caught.value.hint


@pytest.mark.parametrize(
    ("variables", "kind", "message"),
    [
        ({"domain": None}, InvalidFile, "no authority vouches for localhost"),
        ({"address": None}, InvalidFile, "the authority asks at port 80, and the proxy listens on 127.0.0.1 only"),
        ({"acme_dns": "gandi"}, UnknownName, "no DNS provider is named 'gandi'"),
        ({"acme_dns": "rfc2136"}, MissingValue, "the variable rfc2136_server (address of the name server"),
        ({"acme_server": "http://ca.example.com"}, InvalidFile, "is not the authority's directory"),
    ],
)
def test_what_cannot_lead_to_a_certificate(variables: dict[str, Any], kind: type[Exception], message: str) -> None:
    settings = {name: value for name, value in {**PUBLIC, **variables}.items() if value is not None}
    with pytest.raises(kind) as caught:
        selection("ai-platform", vars=settings, without=FEW)
    assert message in str(caught.value)


@pytest.mark.parametrize("provider", ["cloudflare", "digitalocean", "rfc2136", "route53"])
def test_a_provider_asks_for_its_own_secrets_and_keeps_them_to_root(provider: str) -> None:
    host = {"vars": {**PUBLIC, **DNS, "acme_dns": provider}, "without": FEW}
    mine = {name for name in selection("ai-platform", **host).secrets if name.startswith(provider.upper())}
    assert mine
    file = rendered("ai-platform", **host).file("/opt/ai-platform/certbot/credentials.ini")
    assert file is not None
    assert (file.mode, file.owner, file.sensitive) == (0o600, "root:root", True)
    others = {"CLOUDFLARE_API_TOKEN", "DIGITALOCEAN_TOKEN", "RFC2136_SECRET", "ROUTE53_ACCESS_KEY_ID"} - mine
    assert not others & set(selection("ai-platform", **host).secrets)


def test_caddy_gets_its_certificates_by_itself() -> None:
    with pytest.raises(UnknownName, match="acme_dns"):
        selection(vars={**PUBLIC, **DNS})


# --- what a door shows ------------------------------------------------------------------------------------------------


def one(text: str, *doors: str) -> Certificate:
    (found,) = shown(dict.fromkeys(doors or ("a.example.com",), text))
    return found


def test_doors_with_the_same_certificate_stand_together() -> None:
    text = der("example.com", begins=NOW, ends=NOW + timedelta(days=90), issuer="An Authority")
    other = der("other.com", begins=NOW, ends=NOW + timedelta(days=90))
    found = shown({"a.example.com": text, "b.example.com": text, "other.com": other, "silent.com": ""})
    assert [(c.doors, c.names, c.issuer, c.self_signed, c.serial) for c in found] == [
        (("a.example.com", "b.example.com"), ("example.com", "*.example.com"), "An Authority", False, "1234"),
        (("other.com",), ("other.com", "*.other.com"), "other.com", True, "1234"),
    ]


@pytest.mark.parametrize(
    ("lasts", "left", "warning"),
    [
        (90, 22, ""),
        (90, 20, "it expires in 20 days and was not renewed"),
        (397, 20, "it expires in 20 days and was not renewed"),
        (90, 0, "it has expired"),
        (45, 14, ""),  # renewed when a third is left
        (45, 10, "it expires in 10 days and was not renewed"),
        (6, 3, ""),
        (6, 0.4, "it expires today and was not renewed"),
        (6, 1, "it expires in 1 day and was not renewed"),
        (0.5, 0.25, ""),  # those of Caddy's own authority
        (90, 91, "it is not valid yet: look at the host's clock"),
    ],
)
def test_when_somebody_is_to_hear_of_it(lasts: float, left: float, warning: str) -> None:
    ends = NOW + timedelta(days=left)
    assert one(der("example.com", begins=ends - timedelta(days=lasts), ends=ends)).warning(NOW) == warning


def test_one_that_is_for_another_name() -> None:
    text = der("example.com", begins=NOW, ends=NOW + timedelta(days=90))
    assert one(text, "example.com", "a.b.example.com").warning(NOW) == "it is not for a.b.example.com"


@given(st.one_of(st.text(max_size=40), st.binary(max_size=200).map(lambda data: base64.b64encode(data).decode())))
def test_a_host_may_send_anything(text: str) -> None:
    assert shown({"example.com": text}) == ()


# --- what certbot says ------------------------------------------------------------------------------------------------

TAIL = "Ask for help or search for solutions at https://community.letsencrypt.org. See the logfile for more details.\n"
SAID = [
    (
        {},
        "An unexpected error occurred:\nError creating new order :: too many certificates (5) already issued for this"
        " exact set of identifiers in the last 168h0m0s, retry after 2026-11-21 03:11:00 UTC: see https://…/docs\n",
        "too many certificates (5) already issued",
        "wait until the time that the authority names",
    ),
    (
        {},
        "Certbot failed to authenticate some domains (authenticator: webroot). The Certificate Authority reported these"
        " problems:\n  Domain: ai.example.com\n  Type:   dns\n  Detail: DNS problem: NXDOMAIN looking up A for"
        " ai.example.com - check that a DNS record exists for this domain\n\nHint: …\n",
        "ai.example.com: DNS problem: NXDOMAIN looking up A for ai.example.com",
        "let an A record of that name lead to this host",
    ),
    (
        {},
        "  Identifier: ai.example.com\n  Type:   connection\n  Detail: 203.0.113.10: Fetching http://ai.example.com/"
        ".well-known/acme-challenge/x: Timeout during connect (likely firewall problem)\n",
        "Timeout during connect",
        "open port 80 of this host to the world",
    ),
    (
        {},
        "  Domain: ai.example.com\n  Type:   unauthorized\n  Detail: 203.0.113.9: Invalid response from http://…\n",
        "Invalid response from",
        "somebody else answers under that name",
    ),
    (
        {},
        "  Domain: x\n  Type:   caa\n  Detail: CAA record for x prevents issuance\n",
        "prevents issuance",
        "add this one",
    ),
    (DNS, "The peer didn't like the signature we sent\n", "the signature we sent", "refuses the credentials"),
    (DNS, "Unable to determine base domain for x using names: ['x'].\n", "base domain for x", "no such zone"),
    (
        DNS,
        '  Domain: x\n  Type:   unauthorized\n  Detail: Incorrect TXT record "y" found at _acme-challenge.x\n',
        "Incorrect TXT record",
        "raise acme_dns_seconds",
    ),
    ({}, "Something that nobody has foreseen\n", "Something that nobody has foreseen", "logs/letsencrypt.log"),
]


def program(variables: dict[str, str]) -> str:
    whole: Release = rendered("ai-platform", vars={**PUBLIC, **variables}, without=FEW)
    file = whole.file("/opt/ai-platform/certbot/certificate")
    assert file is not None
    return file.content.decode()


@pytest.mark.parametrize(("variables", "said", "reason", "remedy"), SAID)
def test_what_certbot_says_becomes_a_reason_and_a_remedy(
    variables: dict[str, str], said: str, reason: str, remedy: str, tmp_path: Path
) -> None:
    """The script itself, with a stand-in for certbot that says what the real one says and fails."""
    stand_in = tmp_path / "certbot"
    stand_in.write_text(f"#!/bin/sh\ncat <<'END'\nSaving debug log to x\n{said}{TAIL}END\nexit 1\n")
    stand_in.chmod(0o755)
    script = tmp_path / "certificate"
    folder, root = tmp_path / "opt", "/opt/ai-platform"
    (folder / "certbot").mkdir(parents=True)
    script.write_text(
        program(variables).replace(root, str(folder)).replace("certbot=/usr/bin/", f"certbot={tmp_path}/")
    )
    done = subprocess.run(["sh", script], capture_output=True, text=True)
    assert (done.returncode, done.stderr) == (1, "")
    heading, *problem = done.stdout.splitlines()
    assert heading == "no certificate from the authority:"
    assert reason in problem[0]
    assert remedy in problem[1]
    assert "community.letsencrypt.org" not in done.stdout
    assert (folder / "certbot" / "problem").read_text().splitlines() == problem
