"""What comes in and what goes out, as JSON."""

from __future__ import annotations

from typing import Annotated

import msgspec
from msgspec import Meta

from .accounts import Email, Name, NewPassword, Role, User

Token = Annotated[str, Meta(max_length=200)]


class LoginBody(msgspec.Struct, forbid_unknown_fields=True):
    email: Annotated[str, Meta(max_length=254)]
    password: Annotated[str, Meta(max_length=256)]
    cookie: bool = True


class RefreshBody(msgspec.Struct, forbid_unknown_fields=True):
    refresh_token: Token


class RegisterBody(msgspec.Struct, forbid_unknown_fields=True):
    email: Email
    password: NewPassword
    name: Name


class PasswordBody(msgspec.Struct, forbid_unknown_fields=True):
    current: Annotated[str, Meta(max_length=256)]
    new: NewPassword


class NewUserBody(msgspec.Struct, forbid_unknown_fields=True):
    email: Email
    password: NewPassword
    name: Name
    role: Role = "user"


class ChangeUserBody(msgspec.Struct, forbid_unknown_fields=True):
    disabled: bool | None = None
    role: Role | None = None
    name: Name | None = None


class RotateBody(msgspec.Struct, forbid_unknown_fields=True):
    """`revoke_old`: the old keys are good for nothing from now on, as after a theft."""

    revoke_old: bool = False


class UsersQuery(msgspec.Struct):
    query: Annotated[str, Meta(max_length=254)] = ""
    limit: Annotated[int, Meta(ge=1, le=200)] = 50
    cursor: Annotated[str, Meta(max_length=400)] = ""


class LoggedIn(msgspec.Struct):
    """Logged in. `refresh_token` only for programs that asked for no cookie."""

    access_token: str
    token_type: str
    expires_in: int
    user: User
    refresh_token: str | msgspec.UnsetType = msgspec.UNSET


class Users(msgspec.Struct):
    """A page of users, by e-mail. `next` is the cursor of the next page."""

    users: list[User]
    next: str | None


class Rotated(msgspec.Struct):
    """The new key, and when it begins to sign (seconds since 1970)."""

    kid: str
    signs_from: int


class Registration(msgspec.Struct):
    open: bool
    domains: list[str]


class Config(msgspec.Struct):
    """What a log-in page has to know."""

    name: str
    registration: Registration


class Revoked(msgspec.Struct):
    """Tokens to refuse before they run out: those of disabled users (sub → since) and of ended logins (sid → until)."""

    users: dict[str, int]
    logins: dict[str, int]


class Health(msgspec.Struct):
    """How it is."""

    status: str
