"""A lab host with the project that deployed it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from lab_project import Project, Said
from lab_server import Server


@dataclass(frozen=True)
class Deployed:
    """A host that this project brought from bare to healthy, and what was said on the way."""

    server: Server
    project: Project
    script: Said
    deploy: Said
    login: str

    @property
    def name(self) -> str:
        return self.server.name

    def plan(self) -> dict[str, Any]:
        """The present plan, as JSON; the exit code has to agree with it."""
        said = self.project.ctl("plan", self.name, "--json", "--detailed-exitcode")
        assert said.code == (0 if said.data["empty"] else 3), said
        plan: dict[str, Any] = said.data
        return plan

    def status(self) -> dict[str, Any]:
        """The present status, as JSON; the exit code has to tell of drift."""
        said = self.project.ctl("status", self.name, "--json", "--detailed-exitcode")
        assert said.code == (3 if said.data["drift"] or said.data["pending"] else 0), said
        status: dict[str, Any] = said.data
        return status

    def bring(self) -> Said:
        """Deploy what the inventory says; it has to succeed."""
        said = self.project.ctl("deploy", self.name, "--yes", "--json")
        assert said.code == 0, said
        return said

    def get(self, *command: str) -> Said:
        """Run a command that has to succeed."""
        said = self.project.ctl(*command)
        assert said.code == 0, said
        return said


def names(plan: dict[str, Any]) -> list[str]:
    """What a plan or a status would change, by the names that a person sees."""
    changes = plan["changes"] if "changes" in plan else plan["drift"]
    return [change.get("path") or change.get("name") or change["id"] for change in changes]
