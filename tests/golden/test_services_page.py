"""The table in docs/services.md is the catalogue's own. `pytest tests/golden --update-golden` writes it anew."""

from __future__ import annotations

import re

from samples import REPOSITORY, texts

from ctl.core.service import Catalogue, Service

PAGE = REPOSITORY / "docs" / "services.md"
PLACE = re.compile(r"(?<=<!-- the catalogue -->\n).*(?=<!-- end -->)", re.DOTALL)
LOGIN = {"builtin": "its own", "proxy": "the proxy's", "none": "none"}


def row(service: Service) -> str:
    meta = service.meta
    door = "internal"
    if meta.route:
        door = "path or own" if meta.route.path else "own"
    backup = ", ".join([*meta.backup.volumes, *(f"database of {db.container}" for db in meta.backup.databases)])
    if meta.backup.left_out:
        backup += f"{'; ' if backup else ''}not {meta.backup.left_out}"
    cells = [
        f"`{service.name}`",
        meta.summary,
        door,
        LOGIN[meta.auth],
        ", ".join([*meta.needs, *(f"({name})" for name in meta.uses)]),
        f"{meta.requires.memory} / {meta.requires.disk}",
        backup,
    ]
    return f"| {' | '.join(cells)} |\n"


def table() -> str:
    catalogue = Catalogue(texts())
    services = [catalogue.get("services", name) for name in catalogue.names()]
    lines = []
    for category in sorted({service.meta.category for service in services}):
        lines.append(f"\n### {category.capitalize()}\n\n")
        lines.append(
            "| service | what it is | door | login | needs (uses) | memory / disk | backup |\n" + "|---" * 7 + "|\n"
        )
        lines += [row(service) for service in services if service.meta.category == category]
    return "".join(lines) + "\n"


def test_the_page_has_the_catalogue_as_it_is(update_golden: bool) -> None:
    text = PAGE.read_text()
    now = PLACE.sub(lambda _: table(), text)
    if update_golden:
        PAGE.write_text(now)
    assert now == PAGE.read_text(), "the catalogue changed: pytest tests/golden --update-golden"
