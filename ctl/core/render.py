"""Selection and secrets → Release. Pure: equal input gives an equal release, to the byte."""

from __future__ import annotations

import json
import re
from collections.abc import Mapping
from typing import Any

from ctl.core import backup, compose
from ctl.core.document import dump
from ctl.core.errors import InvalidFile, TemplateFault
from ctl.core.image import Contexts, none_known
from ctl.core.override import memory, override, spare
from ctl.core.quoting import compose as double_dollars
from ctl.core.quoting import sh
from ctl.core.release import PHASES, Container, File, Release, Step, fingerprint, phase_number
from ctl.core.route import External
from ctl.core.secret import KEEPSAKE, Secret, keepsake
from ctl.core.selection import Selection
from ctl.core.service import KINDS, FileSpec, Service, megabytes
from ctl.core.template import Sink, Templates, label
from ctl.core.values import values


def render(
    selection: Selection, secrets: Mapping[str, Secret], templates: Templates, contexts: Contexts = none_known
) -> Release:
    """The release for one host. Raises TemplateFault, InvalidFile, MissingValue, UnknownName."""
    work = _Rendering(selection, secrets, templates, contexts)
    for folder in selection.folders:
        work.folder(folder)
    work.units()
    work.project()
    work.backup()
    work.keepsake()
    steps = work.steps()
    return Release(
        host=selection.host.name,
        stack=selection.stack.name,
        root=selection.root,
        subnet=selection.stack.network.subnet,
        files=tuple(sorted(work.files.values(), key=lambda file: (file.phase, file.path))),
        steps=tuple(sorted(steps, key=lambda step: (step.phase, step.id))),
        containers=tuple(work.containers),
        routes=selection.routes,
        externals=work.externals,
        proxy=selection.proxy.name,
        network=selection.stack.network_name if selection.stack.network.name else "",
        gpu="" if selection.vars["gpu"] == "none" else selection.vars["gpu"],
        memory=sum(memory(selection, folder) for folder in selection.folders),
        disk=sum(megabytes(f.meta.requires.disk, file=f.folder, path="requires.disk") for f in selection.folders),
        spare=spare(selection),
        secrets=tuple(secrets.values()),
    )


def recipe(selection: Selection, name: str, templates: Templates) -> str:
    """The sh text that changes a secret where it is stored, or nothing for one without a recipe. Raises TemplateFault.

    Old and new value reach it on stdin; none is in the text.
    """
    for folder in selection.folders:
        spec = folder.meta.secrets.get(name)
        if spec and spec.rotate:
            path = f"{folder.folder}/rotate/{spec.rotate}.sh.j2"
            own = templates.step(path, values(selection, folder, {}, _externals(selection, templates)))
            return f"root={sh(selection.root)}\n{templates.source('host/rotate.sh')}\n{own}"
    return ""


def _externals(selection: Selection, templates: Templates) -> tuple[External, ...]:
    file = f"stacks/{selection.stack.name}/stack.yaml"
    found = []
    for name, external in selection.stack.external.items():
        url = templates.expand(external.url, {"vars": selection.vars}, file=file)
        if not re.fullmatch(r"https?://[A-Za-z0-9.-]+(:[0-9]{1,5})?(/[A-Za-z0-9._/-]*)?", str(url)):
            raise InvalidFile(file, f"{url!r} is not an http address", path=f"external.{name}.url")
        found.append(External(name, url, external.health or "/"))
    return tuple(found)


class _Rendering:
    """One pass over the template folders, gathering what they render to."""

    def __init__(
        self,
        selection: Selection,
        secrets: Mapping[str, Secret],
        templates: Templates,
        contexts: Contexts = none_known,
    ) -> None:
        self.selection, self.secrets, self.templates, self.contexts = selection, secrets, templates, contexts
        self.externals = _externals(selection, templates)
        self.files: dict[str, File] = {}
        self.containers: list[Container] = []
        self.compose_directories: list[str] = []
        self.step_sources: list[tuple[str, str, Mapping[str, Any]]] = []

    def values(self, service: Service) -> dict[str, Any]:
        return values(self.selection, service, self.secrets, self.externals)

    def folder(self, service: Service) -> None:
        values = self.values(service)
        phase = self.phase(service)
        directory = values["dir"]
        if strangers := sorted(set(service.meta.files) - {path.removesuffix(".j2") for path in service.templates}):
            raise TemplateFault(label(service.folder), f"x-ctl.files names {strangers[0]!r}, which is no file in it")
        own: dict[str, File] = {}
        for inside in sorted(service.templates):
            path = f"{service.folder}/{inside}"
            if inside in {"compose.yaml.j2", "x-ctl.yaml"}:
                continue
            parts = inside.split("/")
            if parts[0] in {"rotate", "parts"}:  # recipes, and what templates include: no files of their own
                continue
            if inside.endswith(".sh.j2") and (service.kind == "phases" or parts[0] == "steps"):
                step_id = "/".join(parts[-2:]).removesuffix(".sh.j2")
                self.step_sources.append(
                    (step_id if service.kind == "phases" else f"{step_id}@{service.name}", path, values)
                )
                continue
            if service.kind == "phases":
                phase, parts = phase_number(parts[0]), parts[1:]
            target = "/".join(("", *parts[1:]) if parts[0] == "files" else (directory, *parts))
            target = self.templates.expand(target.removesuffix(".j2"), values, file=label(path))
            spec = service.meta.files.get(inside.removesuffix(".j2"), FileSpec())
            file = self.file(path, target, values, spec.phase or phase, spec)
            if file is not None:
                if file.path in own:
                    raise TemplateFault(file.path, "two templates write this file")
                own[file.path] = file
        self.add(own.values())
        if "compose.yaml.j2" in service.templates:
            self.compose(service, values, own)

    def compose(self, service: Service, values: Mapping[str, Any], own: Mapping[str, File]) -> None:
        sink = Sink(on_secret=compose.reference, on_text=double_dollars)
        data = self.templates.yaml_data(f"{service.folder}/compose.yaml.j2", values, sink)
        backup.check(service, data)
        files, containers = compose.complete(
            service,
            data,
            {secret.name: secret for secret in sink.secrets}.values(),
            override(self.selection, service),
            stack=self.selection.stack,
            directory=values["dir"],
            mounted=own,
            phase=4 if service.name in self.selection.added else 2,
            contexts=self.contexts,
        )
        self.add(files)
        self.containers.extend(containers)
        self.compose_directories.append(values["dir"])

    def file(self, path: str, target: str, values: Mapping[str, Any], phase: int, spec: FileSpec) -> File | None:
        """One rendered file, or None where the template renders to nothing."""
        sink = Sink()
        if not path.endswith(".j2"):
            text = self.templates.source(path)
        elif path.endswith((".yaml.j2", ".yml.j2", ".json.j2")):
            data = self.templates.yaml_data(path, values, sink)
            text = "" if data is None else _spell(data, target, path)
        else:
            text = self.templates.text(path, values, sink)
        if not text.strip():
            return None
        mode = 0o755 if text.startswith("#!") else 0o644
        sensitive = bool(sink.secrets)
        mode = int(spec.mode, 8) if spec.mode else mode & 0o700 if sensitive else mode
        return File(target, text.encode(), phase, mode, spec.owner, sensitive)

    def units(self) -> None:
        """A systemd unit for every service with containers, and the target that holds them together."""
        stack = self.selection.stack.name
        for service in (*self.selection.services, self.selection.proxy):
            names = [container.name for container in self.containers if container.service == service.name]
            if not names:
                continue
            values = {**self.values(service), "containers": names}
            phase = 4 if service.name in self.selection.added else 3
            self.unit("systemd/service.service.j2", f"{stack}-{service.name}.service", values, phase)
        self.unit("systemd/stack.target.j2", f"{stack}.target", self.values(self.selection.phases), 3)

    def unit(self, template: str, name: str, values: Mapping[str, Any], phase: int) -> None:
        text = self.templates.text(template, values, Sink(secrets_allowed=False))
        self.add([File(f"/etc/systemd/system/{name}", text.encode(), phase)])

    def project(self) -> None:
        root = self.selection.root
        self.add([compose.project(self.selection.stack.name, sorted(self.compose_directories), root=root)])

    def backup(self) -> None:
        """Where the data is, which upgrades need to know too; and the script that backs it up."""
        self.add([backup.table(self.selection, self.containers)])
        if self.selection.backup:
            self.add([backup.program(self.selection, self.templates, source=f"hosts.{self.selection.host.name}.vars")])

    def keepsake(self) -> None:
        """What data depends on, to be recovered from the host where the vault is lost."""
        guarded = [name for name, spec in self.selection.secrets.items() if spec.guarded]
        kept = [self.secrets[name] for name in guarded if name in self.secrets]
        if kept:
            path = f"{self.selection.root}/{KEEPSAKE}"
            # An encrypted disk depends on it from phase 1 on.
            phase = 1 if self.selection.encryption else 2
            self.add([File(path, keepsake(kept).encode(), phase, mode=0o600, sensitive=True)])

    def steps(self) -> list[Step]:
        steps = [self.step(step_id, path, values) for step_id, path, values in self.step_sources]
        return [step for step in steps if step is not None]

    def step(self, step_id: str, path: str, values: Mapping[str, Any]) -> Step | None:
        text = self.templates.step(path, {**values, "files": tuple(self.files)})
        if not text.strip():
            return None
        head = _head(text)
        if not re.fullmatch("[1-9][0-9]{0,4}", head.setdefault("timeout", "600")):
            raise TemplateFault(label(path), f"the timeout {head['timeout']!r} is no number of seconds")
        phase = phase_number(step_id.split("/")[0])
        # What prepares or configures an added service's containers comes with them.
        added = phase > 1 and step_id.partition("@")[2] in self.selection.added
        inputs = tuple(head.get("inputs", "").split())
        for name in inputs:
            if name not in self.files:
                raise TemplateFault(label(path), f"the input {name} is no managed file of this release")
        return Step(
            id=step_id,
            title=head["title"],
            text=text,
            phase=4 if added else phase,
            fingerprint=fingerprint([text, *(self.files[name].sha for name in inputs)]),
            inputs=inputs,
            timeout=int(head["timeout"]),
            interactive=head.get("interactive") == "true",
            vital=head.get("failure") != "warning",
        )

    def add(self, files: Any) -> None:
        for file in files:
            if file.path in self.files:
                raise TemplateFault(file.path, "two templates write this file")
            self.files[file.path] = file

    def phase(self, service: Service) -> int:
        """Of a folder's files. An added service's come in phase 2: the project's Compose file includes them."""
        later = dict.fromkeys(("tunnel", "tls", "dns", "backup"), 3)
        return {"disk": 1, **later}.get(service.kind, 2)


_TITLE = re.compile(r"#\s*(?!shellcheck|!)(?P<title>\S.*)")
_HEAD = re.compile(r"#\s*(?P<key>inputs|timeout|interactive|failure):\s*(?P<value>.*)")


def _head(text: str) -> dict[str, str]:
    """The comment lines above a step's code: its title, and those such as `# inputs:` that `_HEAD` knows."""
    head: dict[str, str] = {}
    for line in text.lstrip().splitlines():
        if not line.startswith("#"):
            break
        if match := _HEAD.fullmatch(line):
            head[match["key"]] = match["value"].strip()
        elif (match := _TITLE.fullmatch(line)) and "title" not in head:
            head["title"] = match["title"].strip()
    head.setdefault("title", "(a step without a title)")
    return head


def _spell(data: Any, target: str, path: str) -> str:
    if target.endswith(".json"):
        return json.dumps(data, indent=2) + "\n"
    return f"# Written by ctl from {label(path)}.\n{dump(data)}"


def check_phase_folders(templates: Mapping[str, str]) -> None:
    """Raises TemplateFault for a file under `phases/` or `<folder>/steps/` that is in none of the four phases."""
    for path in templates:
        kind, *parts = path.split("/")
        inside = parts if kind == "phases" else parts[2:] if kind in KINDS and parts[1:2] == ["steps"] else None
        if inside and inside != ["x-ctl.yaml"] and (len(inside) == 1 or inside[0] not in PHASES.values()):
            raise TemplateFault(label(path), f"is in no phase: {', '.join(PHASES.values())}")
