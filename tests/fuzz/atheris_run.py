"""Starts atheris on one of the targets; `atheris_<target>.py` is what one runs."""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path


def fuzz(name: str) -> None:
    """Until it is stopped, or `-max_total_time=30` is over, or an input is found that is no traceback's equal."""
    sys.path[:0] = [str(Path(__file__).parents[2])]
    import atheris  # type: ignore[import-not-found]

    with atheris.instrument_imports(include=["ctl", "targets"]):
        import targets

    corpus = Path(tempfile.mkdtemp(prefix=f"atheris-{name}-"))
    for number, seed in enumerate(targets.SEEDS[name]):
        (corpus / f"seed-{number}").write_bytes(seed)
    atheris.Setup([*sys.argv, "-timeout=10", f"-artifact_prefix={corpus}/", str(corpus)], targets.TARGETS[name])
    atheris.Fuzz()
