"""The program as a person starts it, except that every event which it is told of a run is also written down.

python lab_tap.py FILE ARGUMENT...
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from ctl.__main__ import main
from ctl.cli.progress import Progress
from ctl.core.report import Event

shown = Progress.take


def take(progress: Progress, event: Event) -> None:
    with Path(sys.argv[1]).open("a") as tap:
        tap.write(json.dumps([event.kind, *event.words, event.text]) + "\n")
    shown(progress, event)


if __name__ == "__main__":
    Progress.take = take  # type: ignore[method-assign]
    main(sys.argv[2:])
