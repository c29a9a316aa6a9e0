"""Secrets: a type that does not print, what a service declares of one, and where its value comes from."""

from __future__ import annotations

import base64
import hashlib
import string
from collections.abc import Callable, Iterable, Mapping
from typing import Literal

import msgspec

from ctl.core.errors import MissingValue

MASK = "••••"

Random = Callable[[int], bytes]
"""How many bytes → that many random bytes. Handed in, so that the core stays a function of its arguments."""


class Secret:
    """A text that shows itself as `••••` wherever it is printed, formatted or logged; `reveal()` gives the text."""

    __slots__ = ("_value", "name")

    def __init__(self, name: str, value: str) -> None:
        self.name = name
        self._value = value

    def reveal(self) -> str:
        return self._value

    def __repr__(self) -> str:
        return f"Secret({self.name}={MASK})"

    def __str__(self) -> str:
        return MASK

    def __format__(self, spec: str) -> str:
        return MASK

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Secret) and (self.name, self._value) == (other.name, other._value)

    def __hash__(self) -> int:
        return hash((self.name, self._value))


class SecretSpec(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """What a template declares: where the value comes from, and what it may consist of.

    A generated secret gets `bytes` bytes of randomness, written in the alphabet that its consumer bears.
    `sticky` ones are never generated anew, because data is encrypted with them; `login` ones are what a person
    types at a door, shown once after the first deploy.
    """

    about: str = ""
    generate: Literal["hex", "alnum", "base64url"] | None = None
    bytes: int = 32
    prefix: str = ""
    sticky: bool = False
    login: bool = False

    def new(self, random: Random) -> str:
        """A fresh value; only for specs that declare `generate`."""
        if self.generate == "hex":
            body = random(self.bytes).hex()
        elif self.generate == "alnum":
            body = _spell(random(self.bytes + 8), string.ascii_letters + string.digits, self.bytes)
        else:
            body = _spell(random(self.bytes + 8), string.ascii_letters + string.digits + "-_", self.bytes)
        return self.prefix + body


def _spell(random: bytes, alphabet: str, size: int) -> str:
    """At least `size` bytes of entropy written in `alphabet`; the eight spare bytes make the bias of mod negligible."""
    number = int.from_bytes(random, "big")
    bound = 256**size
    letters: list[str] = []
    while bound:
        number, at = divmod(number, len(alphabet))
        letters.append(alphabet[at])
        bound //= len(alphabet)
    return "".join(letters)


def settle(
    specs: Mapping[str, SecretSpec], supplied: Mapping[str, str], kept: Mapping[str, str], random: Random, host: str
) -> tuple[dict[str, Secret], dict[str, str]]:
    """Give every declared secret its value: supplied by the user, or kept in the vault, or generated now.

    Returns all secrets by name, and those that are new and have to be kept. Raises MissingValue for one that nobody
    supplies and nothing generates.
    """
    values: dict[str, Secret] = {}
    fresh: dict[str, str] = {}
    for name, spec in specs.items():
        value = supplied.get(name) or kept.get(name)
        if not value:
            if spec.generate is None:
                about = f" ({spec.about})" if spec.about else ""
                raise MissingValue(
                    f"the secret {name}{about} has no value",
                    hint=f"ctl secrets set {host} {name}, or give it in the environment or in .env",
                )
            value = fresh[name] = spec.new(random)
        values[name] = Secret(name, value)
    return values, fresh


def redact(text: str, secrets: Iterable[Secret]) -> str:
    """The text with every secret's value replaced by the mask, longest first. Values under 4 characters are left."""
    for value in sorted({secret.reveal() for secret in secrets}, key=len, reverse=True):
        if len(value) >= 4:
            text = text.replace(value, MASK)
    return text


def digest(secret: Secret) -> str:
    """What may stand in a fingerprint for a secret: it changes with the value and does not give it away."""
    return hashlib.sha256(f"{secret.name}\0{secret.reveal()}".encode()).hexdigest()


def bcrypt_hash(password: Secret, salt: Secret) -> Secret:
    """The password's bcrypt hash with a salt derived from another secret, so that equal input gives an equal hash."""
    import bcrypt  # noqa: PLC0415  costs start-up time that only a rendering should pay

    raw = hashlib.sha256(f"{salt.reveal()}\0{password.reveal()}".encode()).digest()[:16]
    # bcrypt's own base64 alphabet, without padding; 22 letters for 16 bytes.
    plain, own = (
        (string.ascii_uppercase + string.ascii_lowercase + string.digits + "+/"),
        ("./" + string.ascii_uppercase + string.ascii_lowercase + string.digits),
    )
    letters = base64.b64encode(raw).decode().rstrip("=").translate(str.maketrans(plain, own))
    return Secret(
        f"{password.name} (bcrypt)", bcrypt.hashpw(password.reveal().encode(), b"$2b$10$" + letters.encode()).decode()
    )
