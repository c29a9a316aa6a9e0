"""The certificate that a door shows: whose it is, who vouches for it, how long it lasts, and what is wrong with it."""

from __future__ import annotations

import base64
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta

from cryptography import x509
from cryptography.x509.oid import ExtensionOID, NameOID

from ctl.core.probe import clean

AHEAD = timedelta(days=21)
"""How long before its end somebody is to hear of it. Renewals begin earlier: then something keeps them from it."""


@dataclass(frozen=True, slots=True)
class Certificate:
    """`doors` are the names for which the proxy showed it, `names` those that stand in it."""

    doors: tuple[str, ...]
    names: tuple[str, ...]
    issuer: str
    self_signed: bool
    serial: str
    begins: datetime
    ends: datetime

    def days(self, now: datetime) -> int:
        """Whole days that are left; less than none for one that has ended."""
        return (self.ends - now) // timedelta(days=1)

    def warning(self, now: datetime) -> str:
        """What a person has to know of it; nothing for one that is as it should be."""
        if strange := [name for name in self.doors if not self.covers(name)]:
            return f"it is not for {', '.join(strange)}"
        if now >= self.ends:
            return "it has expired"
        if now < self.begins:
            return "it is not valid yet: look at the host's clock"
        # One that lives for days only, or hours, is renewed late in terms of days.
        if self.ends - now < min(AHEAD, (self.ends - self.begins) / 4):
            days = self.days(now)
            left = f"in {days} day{'s' if days != 1 else ''}" if days else "today"
            return f"it expires {left} and was not renewed"
        return ""

    def covers(self, name: str) -> bool:
        return name in self.names or f"*.{name.partition('.')[2]}" in self.names


def shown(found: Mapping[str, str]) -> tuple[Certificate, ...]:
    """What the probe brought, door name → DER in base64; doors with the same certificate together."""
    doors: dict[str, list[str]] = {}
    for name, text in found.items():
        doors.setdefault(text, []).append(name)
    read = (_read(text, names) for text, names in doors.items() if text)
    return tuple(certificate for certificate in read if certificate)


def _read(text: str, doors: Iterable[str]) -> Certificate | None:
    """None for what is no certificate: the host may send anything."""
    try:
        found = x509.load_der_x509_certificate(base64.b64decode(text, validate=True))
        return Certificate(
            doors=tuple(doors),
            names=_names(found),
            issuer=_common(found.issuer),
            self_signed=found.issuer == found.subject,
            serial=f"{found.serial_number:x}",
            begins=found.not_valid_before_utc,
            ends=found.not_valid_after_utc,
        )
    except ValueError:
        return None


def _names(found: x509.Certificate) -> tuple[str, ...]:
    try:
        extension = found.extensions.get_extension_for_oid(ExtensionOID.SUBJECT_ALTERNATIVE_NAME)
    except x509.ExtensionNotFound:
        return (_common(found.subject),)
    if not isinstance(extension.value, x509.SubjectAlternativeName):
        return ()
    return tuple(clean(name, 253) for name in extension.value.get_values_for_type(x509.DNSName))


def _common(name: x509.Name) -> str:
    """The organisation and the common name, as far as it has them."""
    oids = (NameOID.ORGANIZATION_NAME, NameOID.COMMON_NAME)
    parts = [str(part.value) for oid in oids for part in name.get_attributes_for_oid(oid)]
    return clean(", ".join(parts) or "nobody", 200)


def moment(seconds: int) -> datetime:
    """The host's clock, in seconds since 1970."""
    return datetime.fromtimestamp(seconds, UTC)
