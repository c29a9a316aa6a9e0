"""The two pages: valid, readable in light and dark, and nothing in them from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import re
from threading import Thread

import html5lib
import httpx
import pytest
from users import pages
from world import PORTAL, Running, Site, until

HTML = {"accept": "text/html,application/xhtml+xml"}
ALL = {"landing": pages.landing(PORTAL), "missing": pages.missing(PORTAL), "starting": pages.starting(PORTAL)}


@pytest.mark.parametrize("text", ALL.values(), ids=ALL)
def test_a_page_is_valid_and_says_what_it_is(text: str) -> None:
    parsed = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False).parse(text)
    assert parsed.get("lang") == "en" and parsed.find("head/title").text == parsed.find("body/main/h1").text
    assert [link.get("href") for link in parsed.iter("a")][-1] == PORTAL
    assert all(link.text.strip() for link in parsed.iter("a"))
    assert not [one for one in parsed.iter() if one.tag in ("script", "img", "link", "iframe") or "style" in one.attrib]
    assert "viewport" in text and "user-scalable" not in text


def luminance(colour: str) -> float:
    parts = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_there_is_enough_contrast_in_light_and_dark() -> None:
    schemes = re.findall(r":root {([^}]*)}", pages.STYLE)
    assert len(schemes) == 2 and "prefers-color-scheme: dark" in pages.STYLE
    for scheme in schemes:
        colours = dict(re.findall(r"--(\w+): (#[0-9a-f]{6})", scheme))
        assert set(colours) == {"ink", "soft", "paper", "link"}
        for name in ("ink", "soft", "link"):
            light, dark = sorted((luminance(colours[name]), luminance(colours["paper"])), reverse=True)
            assert (light + 0.05) / (dark + 0.05) >= 4.5, (name, scheme)


def test_what_a_portal_is_called_cannot_break_a_page() -> None:
    assert 'href="https://x/&quot;&gt;&lt;script&gt;"' in pages.landing('https://x/"><script>')


def test_pages_at_their_doors(site: Site, manager: Running) -> None:
    front = httpx.get(manager.url, headers=HTML, trust_env=False)
    style = re.search(r"<style>(.*)</style>", front.text, re.DOTALL)
    assert style and front.status_code == 200 and front.headers["content-type"] == "text/html; charset=utf-8"
    policy = front.headers["content-security-policy"]
    digest = base64.b64encode(hashlib.sha256(style[1].encode()).digest()).decode()
    assert f"style-src 'sha256-{digest}'" in policy and policy.startswith("default-src 'none'")
    assert "unsafe" not in policy and front.headers["x-content-type-options"] == "nosniff"

    def at(name: str, accept: dict[str, str], method: str = "GET") -> httpx.Response:
        headers = {"host": f"{name}.users.example.org", **accept}
        return httpx.request(method, f"{manager.url}/missing", headers=headers, trust_env=False)

    nobody = at("nobody", HTML)
    assert nobody.status_code == 404 and "no session here" in nobody.text
    program = at("nobody", {"accept": "application/json"}, "POST")
    assert program.status_code == 404 and program.json()["error"]["code"] == "no_session"
    assert program.headers["access-control-allow-origin"] == PORTAL
    manager.begin("ada")
    starting = at("ada", HTML)
    assert starting.status_code == 503 and starting.headers["retry-after"] == "3" and "is starting" in starting.text
    program = at("ada", {"accept": "*/*"})
    assert program.status_code == 503 and program.json()["error"]["code"] == "starting"
    assert program.headers["retry-after"] == "3"


def test_who_is_starting_is_told_so(site: Site, manager: Running) -> None:
    """While the container is being made, before there is a session to list."""
    working = Thread(target=manager.put, args=("ada",))
    working.start()
    headers = {"host": "ada.users.example.org", **HTML}
    until(lambda: httpx.get(f"{manager.url}/missing", headers=headers, trust_env=False).status_code == 503, "a 503", 10)
    assert working.is_alive(), "who wants it is still waiting"
    working.join()
