"""stacks/ in the wheel and the sdist. A folder that several links lead to is there as often; hatchling packs one."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

from hatchling.builders.constants import EXCLUDED_DIRECTORIES
from hatchling.builders.hooks.plugin.interface import BuildHookInterface


class Stacks(BuildHookInterface[Any]):
    def initialize(self, version: str, build_data: dict[str, Any]) -> None:
        within = Path("ctl/data") if self.target_name == "wheel" else Path()
        for folder, folders, files in os.walk(Path(self.root, "stacks"), followlinks=True):
            folders[:] = sorted(set(folders) - EXCLUDED_DIRECTORIES)
            for name in sorted(files):
                path = Path(folder, name)
                build_data["force_include"][str(path)] = str(within / path.relative_to(self.root))
