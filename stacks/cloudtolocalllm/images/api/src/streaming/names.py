"""Names of users, which are parts of host names. Pure."""

from __future__ import annotations

import hashlib
import re
import unicodedata
from base64 import b32encode
from collections.abc import Iterator

SLUG = 20
MARK = 6


def names(issuer: str, subject: str, email: str) -> Iterator[str]:
    """The names that a user may have, the first one first: what people recognise, and six letters that tell apart
    those who share it. A later one is for when somebody has the earlier ones already."""
    digest = hashlib.sha256(f"{issuer}\n{subject}".encode()).digest()
    letters = b32encode(digest).decode().rstrip("=").lower()
    for place in range(0, len(letters) - MARK + 1, MARK):
        yield f"{slug(email)}-{letters[place : place + MARK]}"


def slug(email: str) -> str:
    """The local part of an e-mail address in small letters, digits and single dashes; `user` if nothing is left."""
    local, _, _ = email.partition("@")
    plain = unicodedata.normalize("NFKD", local).encode("ascii", "ignore").decode().lower()
    return re.sub(r"[^a-z0-9]+", "-", plain).strip("-")[:SLUG].rstrip("-") or "user"
