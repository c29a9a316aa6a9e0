"""Names of users, and what the service is told."""

from __future__ import annotations

import re

import pytest
from streaming.names import names, slug
from streaming.settings import from_environment

from webservice.environment import SettingsError


@pytest.mark.parametrize(
    ("email", "wanted"),
    [
        ("ada@example.com", "ada"),
        ("Ada.Lovelace+news@example.com", "ada-lovelace-news"),
        ("a-name-that-is-far-too-long@example.com", "a-name-that-is-far-t"),
        ("nineteen-letters-ab--c@example.com", "nineteen-letters-ab"),
        ("José.Müller@example.com", "jose-muller"),
        ("李@example.com", "user"),
        ("--@example.com", "user"),
        ("", "user"),
    ],
)
def test_a_name_begins_with_what_people_recognise(email: str, wanted: str) -> None:
    assert slug(email) == wanted


def test_names_are_stable_different_and_good_in_host_names() -> None:
    mine = list(names("https://issuer.example/", "auth0|1", "ada@example.com"))
    assert mine == list(names("https://issuer.example/", "auth0|1", "ada@example.com"))
    assert len(set(mine)) == len(mine) == 8
    assert all(re.fullmatch(r"ada-[a-z2-7]{6}", name) for name in mine)
    assert mine[0] == "ada-6e7xgv"
    others = [("https://issuer.example/", "auth0|2"), ("https://other.example/", "auth0|1")]
    assert len({next(names(*other, "ada@example.com")) for other in others} | {mine[0]}) == 3


GOOD = {
    "DATABASE_URL": "postgresql://u@h/d", "DOMAIN": "cloud.example", "JWKS_FILE": "/jwks/jwks.json",
    "STREAMING_KEY": "s" * 32, "MANAGER_KEY": "m" * 32,
}  # fmt: skip


def test_what_follows_from_the_domain() -> None:
    settings = from_environment(GOOD)
    assert (settings.portal_origin, settings.users_domain) == ("https://cloud.example", "users.cloud.example")


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"DOMAIN": ""}, "DOMAIN is missing"),
        ({"DOMAIN": "cloud.example/x"}, "DOMAIN: 'cloud.example/x' is no domain"),
        ({"STREAMING_KEY": "short"}, "STREAMING_KEY has to be at least 32 characters long"),
        ({"JWKS_FILE": ""}, "one of JWKS_FILE and JWKS_URL has to be set, unless ISSUER is a URL"),
        ({"JWKS_URL": "https://x.example"}, "only one of JWKS_FILE and JWKS_URL may be set"),
        ({"POLL_SECONDS": "30"}, "LOST_SECONDS has to be more than POLL_SECONDS"),
        ({"AUDIT_DAYS": "0"}, "AUDIT_DAYS has to be a whole number from 1"),
    ],
)
def test_wrong_settings_are_said(changes: dict[str, str], said: str) -> None:
    with pytest.raises(SettingsError, match=re.escape(said)):
        from_environment({**GOOD, **changes})
