from __future__ import annotations

import json
import logging
import math
import string

import bcrypt
import pytest
from hypothesis import given
from hypothesis import strategies as st

from ctl.core.errors import MissingValue
from ctl.core.secret import MASK, Secret, SecretSpec, bcrypt_hash, digest, redact, settle

VALUE = "hunter2-sentinel"
SECRET = Secret("PASSWORD", VALUE)


@pytest.mark.parametrize(
    "shown",
    [
        repr(SECRET),
        str(SECRET),
        f"{SECRET}",
        f"{SECRET!r:>40}",
        f"{SECRET:>40}",
        "{}".format(SECRET),  # noqa: UP032
        "%s %r" % (SECRET, SECRET),  # noqa: UP031
        json.dumps({"secret": SECRET}, default=str, ensure_ascii=False),
        str([SECRET, {"a": SECRET}, (SECRET,)]),
        repr(ValueError(SECRET)),
    ],
)
def test_a_secret_never_prints(shown: str) -> None:
    assert MASK in shown
    assert VALUE not in shown


def test_a_secret_never_reaches_a_log(caplog: pytest.LogCaptureFixture) -> None:
    logging.getLogger("test").warning("a %s b %r", SECRET, [SECRET])
    assert MASK in caplog.text
    assert VALUE not in caplog.text


def test_a_secret_has_no_json_form_of_its_own() -> None:
    with pytest.raises(TypeError) as caught:
        json.dumps(SECRET)
    assert VALUE not in str(caught.value)
    assert not hasattr(SECRET, "__dict__")


def test_reveal_and_equality() -> None:
    assert SECRET.reveal() == VALUE
    assert Secret("A", "x") == Secret("A", "x")
    assert hash(Secret("A", "x")) == hash(Secret("A", "x"))
    assert Secret("A", "x") != Secret("A", "y")
    assert Secret("A", "x") != Secret("B", "x")
    assert Secret("A", "x") != "x"


ALPHABETS = {
    "hex": "0123456789abcdef",
    "alnum": string.ascii_letters + string.digits,
    "base64url": string.ascii_letters + string.digits + "-_",
}


@pytest.mark.parametrize("kind", ALPHABETS)
@given(size=st.integers(1, 64), data=st.data())
def test_generated_values_keep_to_their_alphabet_and_hold_the_entropy(
    kind: str, size: int, data: st.DataObject
) -> None:
    spec = SecretSpec(generate=kind, bytes=size, prefix="pk-")  # type: ignore[arg-type]
    value = spec.new(lambda count: data.draw(st.binary(min_size=count, max_size=count)))
    assert value.startswith("pk-")
    letters = value.removeprefix("pk-")
    assert set(letters) <= set(ALPHABETS[kind])
    assert len(letters) * math.log2(len(ALPHABETS[kind])) >= 8 * size


@pytest.mark.parametrize("kind", ALPHABETS)
def test_a_generated_value_depends_on_every_random_byte_that_counts(kind: str) -> None:
    spec = SecretSpec(generate=kind, bytes=16)  # type: ignore[arg-type]

    def value(flipped: int) -> str:
        return spec.new(lambda count: bytes(255 if at == count - 1 - flipped else 7 for at in range(count)))

    assert len({value(flipped) for flipped in range(16)}) == 16


SPECS = {
    "GIVEN": SecretSpec(about="from outside"),
    "MADE": SecretSpec(generate="hex", bytes=4),
}


def count(size: int) -> bytes:
    return bytes(range(size))


def test_settle_prefers_what_is_supplied_then_what_is_kept_then_makes() -> None:
    values, fresh = settle(SPECS, {"GIVEN": "given-by-hand"}, {}, count, "h1")
    assert values == {"GIVEN": Secret("GIVEN", "given-by-hand"), "MADE": Secret("MADE", "00010203")}
    assert fresh == {"MADE": "00010203"}
    values, fresh = settle(SPECS, {"MADE": "supplied"}, {"MADE": "kept-two", "GIVEN": "kept-one"}, count, "h1")
    assert values == {"GIVEN": Secret("GIVEN", "kept-one"), "MADE": Secret("MADE", "supplied")}
    assert fresh == {}


def test_settle_names_what_nobody_supplies() -> None:
    with pytest.raises(MissingValue) as caught:
        settle(SPECS, {"GIVEN": ""}, {}, count, "h1")
    assert caught.value.message == "the secret GIVEN (from outside) has no value"
    assert "ctl secrets set h1 GIVEN" in caught.value.hint


def test_redact_takes_the_longest_first() -> None:
    secrets = [Secret("A", "abcd"), Secret("B", "abcdefgh"), Secret("C", "no"), Secret("D", "")]
    assert redact("x abcdefgh abcd no y", secrets) == f"x {MASK} {MASK} no y"


@given(st.text(max_size=30), st.lists(st.text(min_size=4, max_size=8), max_size=3))
def test_no_secret_of_some_length_is_left_after_redact(text: str, values: list[str]) -> None:
    left = redact(text.join(values), [Secret("X", value) for value in values])
    assert not any(value in left for value in values if MASK not in value and value not in MASK)


def test_a_digest_changes_with_value_and_name_and_gives_nothing_away() -> None:
    digests = {digest(Secret(name, value)) for name in "AB" for value in (VALUE, "other")}
    assert len(digests) == 4
    assert not any(VALUE in each for each in digests)


def test_the_bcrypt_hash_is_one_and_is_the_same_each_time() -> None:
    salt = Secret("SALT", "00ff")
    first, again = bcrypt_hash(SECRET, salt), bcrypt_hash(SECRET, salt)
    assert first == again
    assert bcrypt.checkpw(VALUE.encode(), first.reveal().encode())
    assert not bcrypt.checkpw(b"wrong", first.reveal().encode())
    others = [bcrypt_hash(SECRET, Secret("SALT", "00fe")), bcrypt_hash(Secret("PASSWORD", "other"), salt)]
    assert len({each.reveal()[:29] for each in (first, *others)}) == 3, "each gets a salt of its own"
    assert str(first) == MASK
