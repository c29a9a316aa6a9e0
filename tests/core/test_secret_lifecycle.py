"""Weak values refused, what data depends on kept beside it, and a release that would replace it held back."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from samples import ROOT, fit, release, rendered, secrets_for, selection, settled, templates

from ctl.core.errors import UsageError
from ctl.core.fitness import guard, preflight
from ctl.core.plan import plan
from ctl.core.quoting import dotenv, read_dotenv
from ctl.core.release import File, Release
from ctl.core.render import render
from ctl.core.script import probe
from ctl.core.secret import KEEPSAKE, Secret, SecretSpec, keepsake, keepsake_digests, settle, weakness

WEAK = [
    *("changeme", "change_me", "Change-Me!", "changethis", "password", "Password1", "passw0rd", "admin", "secret"),
    *("sk-1234", "sk-1234567890", "super-secret-key", "even-more-secret", "my-secret-key", "difyai123456"),
    *("your-api-key-here", "YOUR_TOKEN", "<token>", "${API_KEY}", "insert-your-key", "replace_me", "example-token"),
    *("sk-xxxxxxxxxxxx", "xxxxxxxxxxxx", "aaaaaaaabbbb", "12345678", "n8n", "short7!", "", "dummy", "sample_password"),
    *("sk-9f73s3ljTXVcMT3Blb3ljTqtsKiGHXVcMT3BlbkFJLK7U", "put_your_token_here", "change-me-please", "my_token"),
]
GOOD = [
    *(
        "correct horse battery staple",
        "tr0ub4dor&3",
        "Fr4nz-jagt",
        "2abcDEF9",
        "sk-live-4f9a01c7d2",
        "the quick brown fox",
    ),
    *("0f" * 31 + "3c", "replacement therapy 7", "somewhere-over-1", "enterprise-1701d"),
]


@pytest.mark.parametrize("value", WEAK)
def test_what_everybody_knows_is_refused_without_being_shown(value: str) -> None:
    problem = weakness(value)
    assert problem
    assert value not in problem or not value.strip()


@pytest.mark.parametrize("value", GOOD)
def test_what_nobody_can_know_is_taken(value: str) -> None:
    assert weakness(value) == ""


@given(
    st.sampled_from(["hex", "alnum", "base64url"]),
    st.integers(16, 64),
    st.binary(min_size=80, max_size=80).filter(lambda seed: len(set(seed)) > 40),
)
def test_what_is_generated_is_never_refused(kind: str, size: int, seed: bytes) -> None:
    spec = SecretSpec(generate=kind, bytes=size)  # type: ignore[arg-type]
    value = spec.new(lambda count: seed[:count])
    assert settle({"A": spec}, {}, {"A": value}, lambda count: b"", "h1") == ({"A": Secret("A", value)}, {})


@pytest.mark.parametrize("source", ["supplied", "kept"])
def test_a_weak_value_is_named_and_not_shown(source: str) -> None:
    values = {"supplied": {}, "kept": {}, source: {"TOKEN": "hunter2"}}
    with pytest.raises(UsageError) as caught:
        settle({"TOKEN": SecretSpec()}, values["supplied"], values["kept"], lambda count: b"", "h1")
    assert caught.value.exit_code == 2
    assert caught.value.message == "the secret TOKEN is shorter than 8 characters"
    assert "hunter2" not in caught.value.hint


def test_a_supplied_value_has_the_form_that_its_consumer_needs() -> None:
    specs = {"KEY": SecretSpec(about="sk- and letters", pattern="sk-[a-z]+")}
    assert settle(specs, {"KEY": "sk-hgfedcba"}, {}, lambda count: b"", "h1")[0]["KEY"].reveal() == "sk-hgfedcba"
    with pytest.raises(UsageError, match="has not the form that is needed: sk- and letters") as caught:
        settle(specs, {"KEY": "pk-hgfedcba"}, {}, lambda count: b"", "h1")
    assert "pk-h" not in f"{caught.value.message}{caught.value.hint}"


# --- .env read back --------------------------------------------------------------------------------------------------

NAMES = st.from_regex(r"[A-Za-z_][A-Za-z0-9_]{0,20}", fullmatch=True)
TEXTS = st.one_of(
    st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=30),
    st.lists(st.sampled_from(["'", '"', "\\", "$", "\n", "#", "=", " ", "A=", "'\n", "x"]), max_size=12).map("".join),
)


@given(st.dictionaries(NAMES, TEXTS, max_size=6), st.booleans())
def test_dotenv_read_back_gives_what_was_written(values: dict[str, str], commented: bool) -> None:
    head = "# A='no'\n\n" if commented else ""
    assert read_dotenv(head + "".join(f"{name}={dotenv(value)}\n" for name, value in values.items())) == values


@pytest.mark.parametrize(
    "text", ["A=b\n", "A='b' # c\n", "A='b\n", 'A="b\n', "=x\n", "export A='b'\n", "A ='b'\n", "\x00"]
)
def test_another_dialect_is_refused_by_line_and_not_shown(text: str) -> None:
    with pytest.raises(ValueError, match=r"line 2 is not NAME= and a quoted value") as caught:
        read_dotenv("OK='1'\n" + text)
    assert "b" not in str(caught.value).replace("a quoted", "")


# --- what data depends on --------------------------------------------------------------------------------------------


@given(st.dictionaries(NAMES, TEXTS, max_size=5))
def test_a_keepsake_gives_back_its_secrets_and_their_digests(values: dict[str, str]) -> None:
    text = keepsake(Secret(name, value) for name, value in values.items())
    assert read_dotenv(text) == values
    assert set(keepsake_digests(text)) == set(values)


def test_a_digest_tells_values_apart_and_names_too() -> None:
    digests = [
        keepsake_digests(keepsake([Secret(name, value)]))[name] for name, value in (("A", "x"), ("A", "y"), ("B", "x"))
    ]
    assert len(set(digests)) == 3


def test_a_value_cannot_pass_for_a_digest() -> None:
    text = keepsake([Secret("A", "x\n# digest A 0123456789abcdef\n")])
    assert keepsake_digests(text)["A"] != "0123456789abcdef"


def test_a_release_keeps_what_data_depends_on_for_root_alone_and_nothing_else() -> None:
    chosen = selection()
    wanted = render(chosen, secrets_for(chosen), templates())
    kept = wanted.file(f"{wanted.root}/{KEEPSAKE}")
    assert kept is not None
    assert (kept.mode, kept.owner, kept.sensitive) == (0o600, "root:root", True)
    assert set(read_dotenv(kept.content.decode())) == {name for name, spec in chosen.secrets.items() if spec.guarded}
    assert "N8N_ENCRYPTION_KEY" in keepsake_digests(kept.content.decode())
    assert "BASIC_AUTH_PASSWORD" not in kept.content.decode()


def test_the_probe_tells_digests_and_never_values() -> None:
    wanted = rendered()
    text = probe(wanted, templates())
    assert "secrets.env" in text
    for secret in wanted.secrets:
        assert secret.reveal() not in text


def holding(**values: str) -> File:
    text = keepsake(Secret(name, value) for name, value in values.items())
    return File(f"{ROOT}/{KEEPSAKE}", text.encode(), 2, mode=0o600, sensitive=True)


def digests(**values: str) -> dict[str, str]:
    return keepsake_digests(holding(**values).content.decode())


SMALL = release()


def wanting(**values: str) -> Release:
    return release(files=(*SMALL.files, holding(**values)))


def test_another_value_than_the_hosts_is_held_back() -> None:
    wanted = wanting(KEY="ours", SAME="same")
    with pytest.raises(UsageError) as caught:
        preflight(plan(wanted, fit(current="r", secrets=digests(KEY="theirs", SAME="same", OLD="gone"))))
    assert caught.value.exit_code == 2
    assert caught.value.message == "h1 holds another KEY than this release, and its data depends on it"
    assert "ctl secrets pull h1" in caught.value.hint


@pytest.mark.parametrize("host", [{}, {"KEY": "ours"}, {"OTHER": "x"}, {"KEY": "ours", "OTHER": "x"}])
def test_the_same_value_or_none_on_the_host_is_no_hindrance(host: dict[str, str]) -> None:
    guard(wanting(KEY="ours"), fit(secrets=digests(**host)))


def test_a_release_without_such_secrets_is_never_held_back() -> None:
    guard(SMALL, settled(SMALL, secrets=digests(KEY="theirs")))


@pytest.mark.parametrize(("phases", "goes_along"), [((1,), False), ((2,), True), ((3,), False), ((4,), True)])
def test_the_keepsake_goes_along_with_whatever_services_are_brought(phases: tuple[int, ...], goes_along: bool) -> None:
    todo = plan(wanting(KEY="ours"), fit(), phases=phases, only=("db",))
    assert (f"{ROOT}/{KEEPSAKE}" in [change.path for change in todo.files]) is goes_along
