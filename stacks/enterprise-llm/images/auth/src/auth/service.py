"""What the service does for a request, one method an operation."""

from __future__ import annotations

import asyncio
import logging
import time

import msgspec

from webservice.api import Call, Reply, path_id
from webservice.web import Problem

from .accounts import Account, Directory, User, canonical, domain_of, public
from .document import replace
from .keys import JWKS, Claims, Keyring, invalid_token
from .logins import Register
from .passwords import Passwords
from .settings import Settings
from .shapes import (
    ChangeUserBody,
    Config,
    Health,
    LoggedIn,
    LoginBody,
    NewUserBody,
    PasswordBody,
    RefreshBody,
    RegisterBody,
    Registration,
    Revoked,
    RotateBody,
    Rotated,
    Users,
    UsersQuery,
)
from .throttle import Throttle

log = logging.getLogger("auth")
COOKIE = "refresh"


class Service:
    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.draining = False
        self.directory = Directory(settings.data)
        self.keyring = Keyring(settings.data, settings)
        self.logins = Register(
            settings.data, refresh_seconds=settings.refresh_seconds, access_seconds=settings.access_seconds
        )
        self.throttle = Throttle(
            settings.data,
            account=settings.attempts_account,
            address=settings.attempts_address,
            seconds=settings.attempts_seconds,
        )
        self.passwords = Passwords()
        self._publishing = asyncio.Lock()

    # --- what runs beside the requests ---------------------------------------

    async def start(self) -> None:
        await self.keyring.ensure()
        if self.settings.admin_email and not self.directory.document.read().users:
            digest = await self.passwords.hash(self.settings.admin_password)
            try:
                await self.directory.add(self.settings.admin_email, "Admin", "admin", digest, only_first=True)
                log.info("the first admin was made")
            except Problem as problem:
                if problem.status != 409:
                    raise
        await self.publish()

    async def tend(self) -> None:
        """Forget what has run out, and publish, whatever other processes changed."""
        for work in (self.keyring.prune, self.logins.prune, self.throttle.prune, self.publish):
            await work()

    async def publish(self) -> None:
        """Write JWKS_FILE and REVOKED_FILE where they differ."""
        async with self._publishing:
            await asyncio.to_thread(self._publish)

    def _publish(self) -> None:
        wanted = ((self.settings.jwks_file, self.keyring.public), (self.settings.revoked_file, self._revoked))
        for path, content in wanted:
            if path is None:
                continue
            text = msgspec.json.encode(content())
            if not path.exists() or path.read_bytes() != text:
                replace(path, text, 0o644)

    def _revoked(self) -> Revoked:
        users = self.directory.document.read().users
        disabled = {key: int(user.disabled_at) for key, user in users.items() if user.disabled_at is not None}
        return Revoked(disabled, self.logins.ended())

    # --- who asks ------------------------------------------------------------

    async def signed_in(self, call: Call) -> None:
        scheme, _, token = call.headers.get("authorization", "").partition(" ")
        if scheme.lower() != "bearer" or not token:
            raise invalid_token()
        claims = self.keyring.verify(token.strip())
        account = self.directory.by_id(claims.sub)
        if account is None or account.disabled_at is not None or not self.logins.alive(claims.sid):
            raise invalid_token()
        call.user = (claims, account)
        call.scope["user_id"] = claims.sub

    async def admin(self, call: Call) -> None:
        await self.signed_in(call)
        if who(call)[1].role != "admin":
            raise Problem(403, "forbidden", "Only admins may do this.")

    # --- logins --------------------------------------------------------------

    async def login(self, call: Call, body: LoginBody) -> Reply:
        attempt = await self.throttle.enter(account=canonical(body.email), address=call.address)
        found = self.directory.by_email(body.email)
        digest = found[1].hash if found else None
        if not await self.passwords.fits(digest, body.password) or found is None:
            raise Problem(401, "invalid_credentials", "E-mail or password is wrong.")
        await self.throttle.forgive(attempt)
        identity, account = found
        if account.disabled_at is not None:
            raise Problem(403, "disabled", "This account is disabled.")
        if self.passwords.outdated(account.hash):
            await self.directory.set_hash(identity, await self.passwords.hash(body.password), instead_of=account.hash)
        sid, token = await self.logins.begin(identity)
        return await self._session(public(identity, account), sid, token, cookie=body.cookie)

    async def refresh(self, call: Call, body: RefreshBody | None) -> Reply:
        token = body.refresh_token if body else cookie_of(call)
        owner = self.logins.user_of(token)
        account = self.directory.by_id(owner) if owner else None
        done = await self.logins.refresh(token)
        if done.copied:
            log.warning("an old refresh token was used: the login is ended", extra={"fields": {"user": done.user}})
            await self.publish()
        if done.token is None or owner != done.user or account is None:
            raise self._over()
        if account.disabled_at is not None:
            raise Problem(403, "disabled", "This account is disabled.")
        return await self._session(public(done.user, account), done.sid, done.token, cookie=body is None)

    async def logout(self, call: Call, body: RefreshBody | None) -> Reply:
        if await self.logins.end(body.refresh_token if body else cookie_of(call)):
            await self.publish()
        return Reply(status=204, headers={} if body else {"set-cookie": self._cookie("", 0)})

    async def me(self, call: Call) -> Reply:
        claims, account = who(call)
        return Reply(public(claims.sub, account))

    async def password(self, call: Call, body: PasswordBody) -> Reply:
        claims, account = who(call)
        attempt = await self.throttle.enter(account=account.email, address=call.address)
        if not await self.passwords.fits(account.hash, body.current):
            raise Problem(403, "wrong_password", "The current password is wrong.")
        await self.throttle.forgive(attempt)
        digest = await self.passwords.hash(body.new)
        if not await self.directory.set_hash(claims.sub, digest, instead_of=account.hash):
            raise Problem(409, "changed_meanwhile", "The password was changed elsewhere meanwhile.")
        await self.logins.end_all(claims.sub, but=claims.sid)
        await self.publish()
        return Reply(status=204)

    async def register(self, call: Call, body: RegisterBody) -> Reply:
        if domain_of(body.email) not in self.settings.registration_domains:
            raise Problem(403, "registration_closed", "Accounts are made by an admin here.")
        await self.throttle.enter(address=call.address)
        digest = await self.passwords.hash(body.password)
        return Reply(await self.directory.add(body.email, body.name, "user", digest), 201)

    # --- admin ---------------------------------------------------------------

    async def list_users(self, call: Call, query: UsersQuery) -> Reply:
        users, last = self.directory.page(query.query, query.limit, after=query.cursor)
        return Reply(Users(users, last))

    async def create_user(self, call: Call, body: NewUserBody) -> Reply:
        digest = await self.passwords.hash(body.password)
        return Reply(await self.directory.add(body.email, body.name, body.role, digest), 201)

    async def change_user(self, call: Call, body: ChangeUserBody) -> Reply:
        identity = str(path_id(call))
        user = await self.directory.alter(identity, disabled=body.disabled, role=body.role, name=body.name)
        if body.disabled:
            await self.logins.end_all(identity)
        await self.publish()
        return Reply(user)

    async def rotate_keys(self, call: Call, body: RotateBody | None) -> Reply:
        kid, signs_from = await self.keyring.rotate(revoke_old=bool(body and body.revoke_old))
        await self.publish()
        log.info("a new signing key", extra={"fields": {"kid": kid, "user": who(call)[0].sub}})
        return Reply(Rotated(kid, int(signs_from)))

    # --- public --------------------------------------------------------------

    async def config(self, call: Call) -> Reply:
        domains = list(self.settings.registration_domains)
        return Reply(Config(self.settings.name, Registration(bool(domains), domains)))

    async def jwks(self, call: Call) -> Reply:
        keys: JWKS = self.keyring.public()
        return Reply(keys, headers={"cache-control": "public, max-age=5"})

    async def revoked(self, call: Call) -> Reply:
        return Reply(self._revoked())

    async def healthz(self, call: Call) -> Reply:
        return Reply(Health("ok"))

    async def readyz(self, call: Call) -> Reply:
        if self.draining:
            raise Problem(503, "draining", "This process is about to end.", retry_after=1)
        now = time.time()
        self.directory.document.read()
        if not any(key.signs_from <= now for key in self.keyring.document.read().keys.values()):
            raise Problem(503, "no_keys", "There is no signing key yet.", retry_after=2)
        return Reply(Health("ready"))

    # --- parts ---------------------------------------------------------------

    async def _session(self, user: User, sid: str, token: str, *, cookie: bool) -> Reply:
        access = await self.keyring.sign(user, sid)
        session = LoggedIn(access, "Bearer", self.settings.access_seconds, user)
        if cookie:
            return Reply(session, headers={"set-cookie": self._cookie(token, self.settings.refresh_seconds)})
        session.refresh_token = token
        return Reply(session)

    def _cookie(self, token: str, seconds: int) -> str:
        secure = "; Secure" if self.settings.cookie_secure else ""
        return f"{COOKIE}={token}; Path=/auth; Max-Age={seconds}; HttpOnly{secure}; SameSite=Strict"

    def _over(self) -> Problem:
        problem = Problem(401, "login_over", "The login is over. Log in again.")
        problem.headers["set-cookie"] = self._cookie("", 0)
        return problem


def who(call: Call) -> tuple[Claims, Account]:
    claims, account = call.user
    return claims, account


def cookie_of(call: Call) -> str:
    """The refresh token of the cookie. Raises Problem 403 if another site's page sends it, also a sub-domain's."""
    if call.headers.get("sec-fetch-site", "same-origin") not in ("same-origin", "none"):
        raise Problem(403, "cross_site", "Only this site's own pages may do this.")
    for part in call.headers.get("cookie", "").split(";"):
        name, _, value = part.strip().partition("=")
        if name == COOKIE:
            return value
    return ""
