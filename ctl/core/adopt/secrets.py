"""Which values of a Compose file are secrets, and what becomes of each: taken over, generated, or asked for.

By the name under which a value stands, by its shape, or by its place in an address. One secret may stand at many
places: as the same variable, or as the same value at places where secrets stand.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field

from ctl.core.adopt.text import CLOSE, OPEN, Marks, Variable
from ctl.core.secret import SecretSpec, weakness

_WORDS = frozenset(
    """PASSWORD PASSWD PASS PASSPHRASE PWD PW SECRET SECRETS TOKEN APIKEY KEY KEYS SALT PEPPER CREDENTIAL CREDENTIALS
    DBPASS AUTHKEY PASSWORT PSK""".split()  # noqa: SIM905
)
_HARMLESS_ENDS = frozenset(
    """FILE PATH DIR URL URI ENABLED ENABLE DISABLED DISABLE REQUIRED LENGTH EXPIRY EXPIRES EXPIRATION EXPIRE TTL TYPE
    NAME HEADER POLICY MIN MAX SIZE HOURS DAYS MINUTES SECONDS TIME TIMEOUT LIFETIME ALGORITHM ALG ISSUER AUDIENCE
    METHOD MODE FORMAT PREFIX SUFFIX ENDPOINT HOST PORT USER USERNAME EMAIL ID IDS LIMIT COUNT RESET LOGIN ROUNDS
    SERVICE STORE PROVIDER CLAIM CLAIMS FIELD VERSION IN ROTATION STRATEGY""".split()  # noqa: SIM905
)
_PUBLIC = frozenset({"PUBLIC", "SITE", "PUBLISHABLE", "KEYBOARD", "PRIMARY", "FOREIGN"})
_OTHERS = frozenset(
    """OPENAI ANTHROPIC CLAUDE GEMINI GOOGLE GITHUB GITLAB BITBUCKET AWS AZURE S3 R2 SMTP MAIL MAILER EMAIL IMAP
    SENDGRID MAILGUN POSTMARK RESEND STRIPE PAYPAL TWILIO SLACK DISCORD TELEGRAM CLOUDFLARE TUNNEL OAUTH OAUTH2 OIDC
    SSO LDAP SAML SENTRY HF HUGGINGFACE HUGGING REPLICATE MISTRAL COHERE GROQ DEEPSEEK ELEVENLABS TAILSCALE TS
    LICENSE OPENROUTER CLIENT TURNSTILE CAPTCHA RECAPTCHA HCAPTCHA VAPID TAVILY BRAVE SERPAPI SERPER PINECONE NGROK
    MAXMIND TMDB UNSPLASH GIPHY FACEBOOK TWITTER LINKEDIN APPLE MICROSOFT NOTION AIRTABLE JINA FIRECRAWL VOYAGE
    BACKBLAZE DROPBOX""".split()  # noqa: SIM905
)
"""Who else has to know the value: making one up would fit nothing."""

_SHAPES = re.compile(
    r"sk-[A-Za-z0-9_-]{16,}|gh[pousr]_[A-Za-z0-9]{20,}|github_pat_\w{20,}|glpat-[\w-]{16,}|xox[abpr]-[\w-]{10,}|AKIA[A-Z0-9]{16}"
    r"|eyJ[\w-]{8,}\.[\w-]{8,}\.[\w-]*|base64:[A-Za-z0-9+/]{20,}=*|tskey-[\w-]{10,}|hf_[A-Za-z0-9]{20,}|SG\.[\w.-]{20,}"
    r"|-----BEGIN [A-Z ]*PRIVATE KEY-----.*|(?=[0-9]*[a-f])(?=[a-f]*[0-9])[0-9a-f]{32,}",
    re.DOTALL,
)
_ADDRESS = re.compile(
    r"(?<![a-z0-9+.-])(?P<before>[a-z][a-z0-9+.-]{0,30}://[^\s:/@]*:)(?P<password>[^\s/@]+)(?=@)", re.IGNORECASE
)
_SWITCH = re.compile(r"true|false|yes|no|on|off|none|null|[0-9]{1,6}|[0-9]+(ms|s|m|h|d)", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Place:
    """Where a secret stands: which service, under which name."""

    service: str
    key: str


@dataclass(slots=True)
class _Group:
    """One secret while it is being put together."""

    name: str
    value: str | None = None
    places: list[Place] = field(default_factory=list)
    variable: bool = False


@dataclass(frozen=True, slots=True)
class Declared:
    """What the template declares: `value` is the one taken over, `why` what is to be said about it."""

    name: str
    spec: SecretSpec
    places: tuple[Place, ...]
    value: str | None = None
    why: str = ""
    open: bool = False
    """Whether something is left for a person to do."""


@dataclass(frozen=True, slots=True)
class Part:
    """A service as far as secrets are concerned; texts are marked. `backing`: other containers log in to it."""

    environment: Mapping[str, str | None]
    commands: tuple[str, ...]
    backing: bool


def is_secret_name(name: str) -> bool:
    words = _words(name)
    if not words or words[-1] in _HARMLESS_ENDS or _PUBLIC & set(words):
        return False
    if words[-1] == "AUTH":
        return bool({"REDIS", "BASIC"} & set(words))
    return bool(_WORDS & set(words[-2:])) or any(word.endswith(("PASSWORD", "APIKEY", "SECRET")) for word in words[-1:])


def _words(name: str) -> list[str]:
    """`DB_Password`, `dbPassword`, `db-password` and `SERVICE__DB__PASSWORD` are all made of these words."""
    split = re.sub(r"([a-z0-9])([A-Z])", r"\1_\2", name)
    return [word.upper() for word in re.split(r"[^A-Za-z0-9]+", split) if word]


class Secrets:
    """All secrets of one Compose file. `mark` marks those that stand there in plain text, `declare` settles them."""

    def __init__(self, marks: Marks, words: Collection[str] = ()) -> None:
        self.marks = marks
        self.words = {word.lower() for word in words}
        """Names in the file: as a password, one of them is no better than a known default."""
        self.groups: dict[str, _Group] = {}
        self.by_value: dict[str, _Group] = {}
        self.left: list[tuple[Place, str]] = []
        """Passwords that stay as they are, because nothing shows who else has them built in."""

    def weakness(self, value: str) -> str:
        return "is a name in the file" if value.lower() in self.words else weakness(value)

    def find(self, parts: Mapping[str, Part]) -> None:
        """All variables that hold secrets, then all places where one stands in plain text."""
        for part in parts.values():
            for key, given in part.environment.items():
                if given and _words(key)[-1:] and _words(key)[-1] in {"USER", "USERNAME", "DB", "DATABASE", "NAME"}:
                    self.words.add(str(self.marks.replace(given, lambda variable: variable.value or "")).lower())
        for service, part in parts.items():
            for key, text in part.environment.items():
                self._variables(service, key, text or "")
            for text in part.commands:
                for variable in self._named(text):
                    self._group(variable, Place(service, variable.name))
        self._unite()
        for service, part in parts.items():
            for key, given in part.environment.items():
                if given is None and is_secret_name(key):
                    self._group(Variable(key, self.marks.values.get(key)), Place(service, key))
                for value in self._literals(key, given or ""):
                    self._literal(service, key, value)
        if len(parts) > 1:
            self._leave(parts)

    def _named(self, text: str) -> Iterator[Variable]:
        return (v for v in self.marks.split(text) if isinstance(v, Variable) and is_secret_name(v.name))

    def _variables(self, service: str, key: str, text: str) -> None:
        pieces = list(self.marks.split(text))
        whole = len(pieces) == 1 and (is_secret_name(key) or _SHAPES.fullmatch(getattr(pieces[0], "value", "") or ""))
        shown = "".join(p if isinstance(p, str) else f"{OPEN}{at}{CLOSE}" for at, p in enumerate(pieces))
        passwords = {
            int(n) for found in _ADDRESS.finditer(shown) for n in re.findall(f"{OPEN}(\\d+){CLOSE}", found["password"])
        }
        for at, piece in enumerate(pieces):
            if isinstance(piece, str) or (piece.value is not None and _SWITCH.fullmatch(piece.value)):
                continue
            if whole or at in passwords or is_secret_name(piece.name) or (is_secret_name(key) and piece.value is None):
                self._group(piece, Place(service, key))

    def _group(self, variable: Variable, place: Place) -> None:
        group = self.groups.setdefault(variable.name, _Group(variable.name, variable=True))
        group.value = variable.value if group.value is None else group.value
        if place not in group.places:
            group.places.append(place)

    def _literals(self, key: str, text: str) -> Iterator[str]:
        named = is_secret_name(key) and "://" not in text and not text.startswith("/")
        if text and OPEN not in text and not _SWITCH.fullmatch(text) and (named or _SHAPES.fullmatch(text)):
            yield text
        for found in _ADDRESS.finditer(text):
            if OPEN not in found["password"]:
                yield found["password"]

    def _literal(self, service: str, key: str, value: str) -> None:
        """What is equal in the file stays equal: nobody can tell which of two equal values have to be."""
        place = Place(service, key)
        if group := self.by_value.get(value):
            group.places.append(place)
            return
        name = next((n for n in (key, f"{service}_{key}") if n not in self.groups), f"{service}_{key}_2")
        self.groups[name] = self.by_value[value] = _Group(name, value, [place])

    def _unite(self) -> None:
        """Variables of one value are one secret, under the name of the first."""
        for name, group in self.groups.items():
            one = self.by_value.setdefault(group.value, group) if group.value else group
            if one is not group:
                one.places += group.places
                self.groups[name] = one

    def _leave(self, parts: Mapping[str, Part]) -> None:
        """A database's password that no other service is given here: the application knows it by heart."""
        for name, group in list(self.groups.items()):
            services = {place.service for place in group.places}
            root = all("ROOT" in _words(place.key) for place in group.places)
            if group.value and services and all(parts[s].backing for s in services) and not root:
                del self.groups[name]
                self.by_value.pop(group.value, None)
                self.left.append((group.places[0], group.value))

    def grant(self, name: str, value: str | None) -> None:
        """A secret that the file mounts under this name."""
        group = self.groups.setdefault(name, _Group(name))
        group.value = value if group.value is None else group.value
        group.places.append(Place("/run/secrets", name))

    def mark(self, key: str, text: str | None) -> str | None:
        """The text of an environment value with its secrets marked."""
        if text is None:
            group = self.groups.get(key)
            return self.marks.mark(Variable(key, group.value)) if group else None
        for value in set(self._literals(key, text)):
            group = self.by_value.get(value)
            if group:
                hole = self.marks.mark(Variable(group.name, value))
                text = hole if text == value else _in_address(text, value, hole)
        return text

    def mark_command(self, text: str) -> str:
        """A command or a check with the secrets in it marked; a value that might be any word only after `--pass`."""
        for group in self.groups.values():
            value = group.value
            if not value or len(value) < 6:
                continue
            hole = self.marks.mark(Variable(group.name, value))
            before = (
                r"(?<![A-Za-z0-9])"
                if not self.weakness(value)
                else r"(?<=pass )|(?<=password[ =])|(?<=PASSWORD=)|(?<=-a )"
            )
            text = re.sub(rf"(?:{before}){re.escape(value)}(?![A-Za-z0-9])", lambda _, hole=hole: hole, text)  # type: ignore[misc]
        return text

    def declare(self, prefix: str) -> dict[str, Declared]:
        """By the name that the variables have in the marked texts."""
        settled = {g.name: _declare(g, prefix, self.weakness(g.value or "")) for g in self.groups.values()}
        return {name: settled[group.name] for name, group in self.groups.items()}


def _in_address(text: str, password: str, hole: str) -> str:
    return _ADDRESS.sub(lambda at: at["before"] + (hole if at["password"] == password else at["password"]), text)


def _declare(group: _Group, prefix: str, weak: str) -> Declared:
    keys = [place.key for place in group.places]
    words = {word for name in (group.name, *keys) for word in _words(name)}
    services = sorted({place.service for place in group.places})
    shared = len(services) > 1
    others = bool(words & _OTHERS) and not shared
    name = re.sub(r"[^A-Z0-9]+", "_", group.name.upper()).strip("_") or "SECRET"
    if not name.startswith(f"{prefix}_"):
        name = f"{prefix}_{name}"
    about = f"{keys[0]} of {', '.join(services)}"
    value = group.value or ""
    weak = weak if value else ""
    form = value.startswith("base64:") or name.endswith("_APP_KEY")
    if others or group.value == "" or (form and (weak or not value)):
        spec = SecretSpec(about=about, optional=not form)
        if value and not weak:
            return Declared(name, spec, tuple(group.places), value, "the file's value is taken over, into the vault")
        why = (
            "is of the form base64:…, which is not generated here"
            if form
            else "is for another party to give, if it is used"
        )
        return Declared(name, spec, tuple(group.places), None, why, open=True)
    spec = _generated(about, words, value)
    if value and not weak:
        return Declared(name, spec, tuple(group.places), value, "the file's value is taken over, into the vault")
    why = f"the file's value {weak}; another one is generated" if value else "generated"
    return Declared(name, spec, tuple(group.places), None, why)


def _generated(about: str, words: Iterable[str], value: str) -> SecretSpec:
    has = set(words)
    prefix = "sk-" if value.startswith("sk-") else ""
    stored = {
        "POSTGRES",
        "PG",
        "DB",
        "DATABASE",
        "MYSQL",
        "MARIADB",
        "MONGO",
        "MONGODB",
        "ROOT",
        "CLICKHOUSE",
        "DBPASS",
    }
    sticky = bool(has & (stored | {"ENCRYPTION", "ENCRYPT", "SALT", "CRYPT", "MASTER", "SECRET"})) or "KEY" in has
    if has & {"PASSWORD", "PASSWD", "PASS", "PWD", "DBPASS", "PW"}:
        return SecretSpec(about=about, generate="alnum", bytes=18, sticky=sticky)
    return SecretSpec(about=about, generate="hex", bytes=32, prefix=prefix, sticky=sticky)
