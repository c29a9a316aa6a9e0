"""The pages at users.DOMAIN and at the names of users that do not answer. No script, nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import html

STYLE = """
:root { color-scheme: light dark; --ink: #1a1c20; --soft: #555b66; --paper: #fbfbf9; --link: #0b57a4 }
@media (prefers-color-scheme: dark) { :root { --ink: #eceef1; --soft: #aab1bd; --paper: #15171a; --link: #8cc1ff } }
body { margin: 0; min-height: 100vh; display: grid; place-items: center; background: var(--paper); color: var(--ink);
  font: 1.0625rem/1.6 system-ui, sans-serif }
main { max-width: 34rem; padding: 2rem 1.5rem }
h1 { font-size: 1.6rem; line-height: 1.25; margin: 0 0 .75rem }
p { margin: 0 0 1rem } .soft { color: var(--soft) }
a { color: var(--link) } a:focus-visible { outline: 3px solid currentColor; outline-offset: 3px }
"""

_HASH = base64.b64encode(hashlib.sha256(STYLE.encode()).digest()).decode()
HEADERS = {
    "content-type": "text/html; charset=utf-8",
    "content-security-policy": f"default-src 'none'; style-src 'sha256-{_HASH}'; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
}
RETRY_SECONDS = 3


def landing(portal: str) -> str:
    return _page(
        "Streaming sessions",
        "Each session that people start in the portal has an address of its own under this name. It carries their "
        "requests to the models on their own computer, and keeps nothing.",
        f"<a href={_quoted(portal)}>Log in at the portal</a> to start yours or to see where it is.",
    )


def missing(portal: str) -> str:
    return _page(
        "There is no session here",
        "Nobody has a session at this address now. It may have ended: one that nobody uses is removed after a while.",
        f"<a href={_quoted(portal)}>Start a session at the portal</a>.",
    )


def starting(portal: str) -> str:
    return _page(
        "The session is starting",
        "It takes some seconds. This page asks again by itself.",
        f'<a href="">Ask again now</a>, or <a href={_quoted(portal)}>go to the portal</a>.',
        head=f'<meta http-equiv="refresh" content="{RETRY_SECONDS}">\n',
    )


def _quoted(text: str) -> str:
    return f'"{html.escape(text)}"'


def _page(title: str, first: str, second: str, head: str = "") -> str:
    """`second` is HTML; the others are text."""
    return f"""<!DOCTYPE html>
<html lang="en">
<head>
<meta charset="utf-8">
<title>{html.escape(title)}</title>
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="robots" content="noindex">
{head}<style>{STYLE}</style>
</head>
<body>
<main>
<h1>{html.escape(title)}</h1>
<p>{html.escape(first)}</p>
<p class="soft">{second}</p>
</main>
</body>
</html>
"""
