"""Secrets: a type that does not print, what a service declares of one, and where its value comes from."""

from __future__ import annotations

import base64
import hashlib
import re
import string
from collections.abc import Callable, Iterable, Mapping
from typing import Literal

import msgspec

from ctl.core.errors import MissingValue, UsageError
from ctl.core.quoting import dotenv

MASK = "••••"
SHORTEST = 8
KEEPSAKE = ".ctl/secrets.env"  # under the stack's root on the host

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

    A generated secret gets `bytes` bytes of randomness, written in the alphabet that its consumer bears; a supplied
    one has to match `pattern`. `sticky` ones are never generated anew, because data is encrypted with them. `rotate`
    names the recipe, `rotate/<name>.sh.j2` in the template folder, without which a new value would fit nothing that
    is stored. `login` ones are what a person types at a door, beside the value of the variable that this names.
    `optional` ones may have no value; templates then see nothing. `shared_with` names the service at which this one is
    a client and shows it, such as Postgres or LiteLLM, so that a role or a key is made there.
    """

    about: str = ""
    generate: Literal["hex", "alnum", "base64url"] | None = None
    bytes: int = 32
    prefix: str = ""
    pattern: str = ""
    sticky: bool = False
    rotate: str = ""
    login: str = ""
    optional: bool = False
    shared_with: str = ""

    @property
    def guarded(self) -> bool:
        """Whether stored data depends on the value, so that another one on the host would cut the data off."""
        return self.sticky or bool(self.rotate)

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
    supplies and nothing generates, UsageError for one that no one should use.
    """
    values: dict[str, Secret] = {}
    fresh: dict[str, str] = {}
    for name, spec in specs.items():
        value = supplied.get(name) or kept.get(name)
        if value:
            check_value(name, value, spec, host)
        elif spec.optional:
            continue
        elif spec.generate is None:
            about = f" ({spec.about})" if spec.about else ""
            raise MissingValue(
                f"the secret {name}{about} has no value",
                hint=f"ctl secrets set {host} {name}, or give it in the environment or in .env",
            )
        else:
            value = fresh[name] = spec.new(random)
        values[name] = Secret(name, value)
    return values, fresh


# Values that stand in documentation, examples and default configurations, and therefore in every attacker's list.
_KNOWN = frozenset(
    """12345678 123456789 1234567890 abcdefgh admin123 administrator adminadmin changeme changeit changethis changeme123
    default dify difyai123456 insecure langfuse letmein litellm minioadmin mysecretpassword mysecretkey n8n n8npassword
    ollama openwebui passw0rd password password1 password12 password123 passwort postgres postgrespassword qwertyuiop
    root secret secretkey secretpassword supersecret supersecretkey supersecretpassword temporary test1234 testtest
    topsecret evenmoresecret webui welcome1 myencryptionkey sk1234 sk12345 sk123456 sk12345678 sk1234567890
    sk9f73s3ljtxvcmt3blb3ljtqtskighxvcmt3blbkfjlk7u thisisasecret thisisnotasecret
    miniosecret myredissecret""".split()  # noqa: SIM905
)
_PLACEHOLDER = re.compile(
    r"your[ _-].*|(insert|replace|enter|paste|put)[ _-](your|with|this|a|me|here|api|token|key|password)\b.*"
    r"|(dummy|sample|example|placeholder|todo|fixme)([ _.-].*)?|change[ _-]?(me|this|it)\b.*|.*[_-](here|change[_-]?me)"
    r"|(my|the|some|a|super|very)[ _-]?(secret|password|key|token|api[ _-]?key)([ _-].*)?|<.*>|\$?\{.*\}|sk-[x.*]+",
    re.IGNORECASE | re.DOTALL,
)


def weakness(value: str) -> str:
    """Why nobody should use this value: `is a known default`, say; or nothing. The value is not in the answer."""
    if re.sub(r"[ _.!-]", "", value).lower() in _KNOWN:
        return "is a known default"
    if _PLACEHOLDER.fullmatch(value.strip()):
        return "is a placeholder, not a value"
    if len(value) < SHORTEST:
        return f"is shorter than {SHORTEST} characters"
    if len(set(value)) < 3:
        return "is the same character over and over"
    return ""


def check_value(name: str, value: str, spec: SecretSpec, host: str) -> None:
    """Raises UsageError, without the value, for one that is weak or does not have the form that its consumer needs."""
    problem = weakness(value)
    if not problem and spec.pattern and not re.fullmatch(spec.pattern, value):
        problem = f"has not the form that is needed: {spec.about or spec.pattern}"
    if problem:
        own = "leave it out and one is generated, or set another" if spec.generate else "set another"
        raise UsageError(f"the secret {name} {problem}", hint=f"{own}: ctl secrets set {host} {name}, or .env")


def keepsake(secrets: Iterable[Secret]) -> str:
    """The file on the host from which `ctl secrets pull` recovers what data depends on, a digest of each at its top.

    The digests are what the probe tells: whether the host holds the same secret as we, without its value.
    """
    ordered = sorted(secrets, key=lambda secret: secret.name)
    return "".join(
        (
            "# Written by ctl: the secrets that stored data depends on.\n",
            *(f"# digest {secret.name} {digest(secret)[:16]}\n" for secret in ordered),
            *(f"{secret.name}={dotenv(secret.reveal())}\n" for secret in ordered),
        )
    )


def keepsake_digests(text: str) -> dict[str, str]:
    """Name → digest, as they stand at the top of a keepsake."""
    head = re.match(r"(#.*\n)*", text)
    return dict(re.findall(r"^# digest (\S+) ([0-9a-f]{16})$", head[0] if head else "", re.MULTILINE))


def redact(text: str, secrets: Iterable[Secret]) -> str:
    """The text with every secret's value replaced by the mask, longest first. Values under 4 characters are left."""
    for value in sorted({secret.reveal() for secret in secrets}, key=len, reverse=True):
        if len(value) >= 4:
            text = text.replace(value, MASK)
    return text


def digest(secret: Secret) -> str:
    """What may stand in a fingerprint for a secret: it changes with the value and does not give it away."""
    return hashlib.sha256(f"{secret.name}\0{secret.reveal()}".encode()).hexdigest()


def bcrypt_hash(password: Secret, salt: Secret, cost: int = 10) -> Secret:
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
        f"{password.name} (bcrypt)",
        bcrypt.hashpw(password.reveal().encode(), f"$2b${cost:02}${letters}".encode()).decode(),
    )
