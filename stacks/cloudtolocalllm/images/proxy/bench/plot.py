"""Two panels of an SVG: memory and latency over the number of sessions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

WIDTH, HEIGHT, LEFT, BOTTOM, TOP = 460, 300, 56, 44, 40
COLOURS = ("#1f6fb2", "#d1622b", "#4d8f4d", "#8a8a8a")
Row = Mapping[str, float]


def ceiling(value: float) -> float:
    """The next round number."""
    size = 10.0 ** (len(str(int(value))) - 1)
    return next(size * step for step in (1, 1.5, 2, 3, 4, 5, 6, 8, 10) if size * step >= value)


def panel(rows: Sequence[Row], title: str, unit: str, names: Mapping[str, str], shift: int, scale: float) -> str:
    right = ceiling(max(row["sessions"] for row in rows))
    top = ceiling(max(row[name] * scale for row in rows for name in names))
    wide, high = WIDTH - LEFT - 20, HEIGHT - BOTTOM - TOP

    def at(x: float, y: float) -> tuple[float, float]:
        return round(LEFT + x / right * wide, 1), round(TOP + high - y / top * high, 1)

    parts = [f'<g transform="translate({shift} 0)"><text x="{LEFT}" y="18" font-weight="bold">{title}</text>']
    for part in range(5):
        _, y = at(0, top * part / 4)
        x, _ = at(right * part / 4, 0)
        parts.append(f'<path d="M{LEFT} {y}h{wide}" stroke="#ddd"/>')
        parts.append(f'<text x="{LEFT - 6}" y="{y + 4}" text-anchor="end">{top * part / 4:g}</text>')
        parts.append(f'<text x="{x}" y="{HEIGHT - 24}" text-anchor="middle">{right * part / 4:g}</text>')
    for number, (name, label) in enumerate(names.items()):
        points = " ".join("{},{}".format(*at(row["sessions"], row[name] * scale)) for row in rows)
        colour = COLOURS[number]
        parts.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2"/>')
        parts.append(f'<text x="{LEFT + 8}" y="{TOP + 12 + 15 * number}" fill="{colour}">{label}</text>')
    parts.append(f'<text x="{LEFT}" y="{TOP - 8}">{unit}</text>')
    parts.append(f'<text x="{LEFT + wide / 2}" y="{HEIGHT - 6}" text-anchor="middle">sessions</text></g>')
    return "\n".join(parts)


def plot(rows: Sequence[Row]) -> str:
    kept = {"Rss": "resident, added up", "Pss": "resident, shared pages once", "Private": "private"}
    aged = {
        "p95": "through nginx and a proxy, p95",
        "p50": "through nginx and a proxy, median",
        "direct_p95": "directly, p95",
        "direct_p50": "directly, median",
    }
    return "\n".join(
        [
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {2 * WIDTH} {HEIGHT}" font-family="sans-serif"'
            f' font-size="12"><rect width="100%" height="100%" fill="#fff"/>',
            panel(rows, "Memory of all proxies", "GiB", kept, 0, 1 / 1024),
            panel(rows, "From the stand-in's send to the reader", "ms", aged, WIDTH, 1),
            "</svg>\n",
        ]
    )
