"""Users: who they are, what they may, their passwords' hashes. All of it is in users.json."""

from __future__ import annotations

import time
import unicodedata
import uuid
from pathlib import Path
from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from webservice.web import Problem

from .document import Document

Role = Literal["user", "admin"]
Email = Annotated[
    str,
    Meta(
        max_length=254,
        pattern=r"^[A-Za-z0-9.!#$%&'*+/=?^_`{|}~-]{1,64}@[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?(\.[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?)+$",
        examples=["ada@example.com"],
    ),
]
Name = Annotated[str, Meta(min_length=1, max_length=100, pattern=r"^[^\u0000-\u001f\u007f]+$")]
MIN_PASSWORD = 12
NewPassword = Annotated[str, Meta(min_length=MIN_PASSWORD, max_length=256)]


class Account(msgspec.Struct, omit_defaults=True):
    """A user as stored."""

    email: str
    name: str
    role: Role
    hash: str
    created_at: float
    disabled_at: float | None = None


class Accounts(msgspec.Struct):
    """users.json: id → account."""

    version: Literal[1] = 1
    users: dict[str, Account] = {}


class User(msgspec.Struct):
    """A user."""

    id: str
    email: str
    name: str
    role: Role
    disabled: bool


def public(identity: str, account: Account) -> User:
    return User(identity, account.email, account.name, account.role, account.disabled_at is not None)


def canonical(email: str) -> str:
    return email.lower()


def domain_of(email: str) -> str:
    return canonical(email).rpartition("@")[2]


class Directory:
    """The users, found by id or e-mail."""

    def __init__(self, folder: Path) -> None:
        self.document = Document(folder / "users.json", Accounts)
        self._index: tuple[Accounts, dict[str, str]] | None = None

    def by_email(self, email: str) -> tuple[str, Account] | None:
        accounts = self.document.read()
        if self._index is None or self._index[0] is not accounts:
            self._index = accounts, {account.email: identity for identity, account in accounts.users.items()}
        identity = self._index[1].get(canonical(email))
        return None if identity is None else (identity, accounts.users[identity])

    def by_id(self, identity: str) -> Account | None:
        return self.document.read().users.get(identity)

    async def add(self, email: str, name: str, role: Role, digest: str, *, only_first: bool = False) -> User:
        """Raises Problem 409 if the e-mail is taken (or, with `only_first`, if there is anybody)."""
        email = canonical(email)
        identity = str(uuid.uuid4())
        account = Account(email, unicodedata.normalize("NFC", name).strip() or email, role, digest, time.time())

        def edit(accounts: Accounts) -> User:
            if any(known.email == email for known in accounts.users.values()) or (only_first and accounts.users):
                raise Problem(409, "email_taken", "There is an account with this e-mail.")
            accounts.users[identity] = account
            return public(identity, account)

        return await self.document.change(edit)

    async def set_hash(self, identity: str, digest: str, *, instead_of: str) -> bool:
        """Whether it was done: not if the password has been changed meanwhile."""

        def edit(accounts: Accounts) -> bool:
            account = accounts.users.get(identity)
            if account is None or account.hash != instead_of:
                return False
            account.hash = digest
            return True

        return await self.document.change(edit)

    async def alter(self, identity: str, *, disabled: bool | None, role: Role | None, name: str | None) -> User:
        """Raises Problem 404, and 409 if no admin would be left."""

        def edit(accounts: Accounts) -> User:
            account = accounts.users.get(identity)
            if account is None:
                raise Problem(404, "not_found", "There is no such user.")
            loses = disabled is True or role == "user"
            others = any(
                other.role == "admin" and other.disabled_at is None
                for key, other in accounts.users.items()
                if key != identity
            )
            if account.role == "admin" and account.disabled_at is None and loses and not others:
                raise Problem(409, "last_admin", "This is the last admin.")
            if disabled is not None and disabled != (account.disabled_at is not None):
                account.disabled_at = time.time() if disabled else None
            account.role = role or account.role
            account.name = name or account.name
            return public(identity, account)

        return await self.document.change(edit)

    def page(self, query: str, limit: int, after: str) -> tuple[list[User], str | None]:
        """Users by e-mail, those that hold `query` in it or in the name, behind `after`; where the next page begins."""
        needle = query.casefold()
        found = sorted(
            (account.email, identity)
            for identity, account in self.document.read().users.items()
            if account.email > after and (needle in account.email or needle in account.name.casefold())
        )
        users = [public(identity, self.document.read().users[identity]) for _, identity in found[:limit]]
        return users, users[-1].email if len(found) > limit else None
