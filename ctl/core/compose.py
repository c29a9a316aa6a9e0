"""All that is Docker Compose's own: what a service's file must and must not say, and the label that tells its state.

Plain `compose up` does not recreate a container when a file that it mounts has changed. So every container carries
`ctl.fingerprint`: a digest over its Compose fragment, its secrets and every managed file that it mounts.
"""

from __future__ import annotations

import json
import posixpath
import re
from collections.abc import Iterable, Mapping
from typing import Any

from ctl.core.document import dump
from ctl.core.errors import InvalidFile
from ctl.core.image import Context, Contexts
from ctl.core.quoting import dotenv
from ctl.core.release import Container, File, Spawn, fingerprint
from ctl.core.secret import Secret, digest
from ctl.core.service import Service
from ctl.core.stack import ServiceOverride, Stack

FINGERPRINT = "ctl.fingerprint"
SERVICE = "ctl.service"

_PINNED = re.compile(r"[^@\s]+(:(?!latest$|main$|stable$|nightly$|edge$)[A-Za-z0-9._-]+|@sha256:[0-9a-f]{64})")


def complete(
    service: Service,
    data: Any,
    secrets: Iterable[Secret],
    override: ServiceOverride,
    *,
    stack: Stack,
    directory: str,
    mounted: Mapping[str, File],
    phase: int,
    contexts: Contexts,
) -> tuple[tuple[File, ...], tuple[Container, ...]]:
    """A service's rendered Compose data → its files (`compose.yaml`, `.env`) and its containers.

    `directory` is where the files stand on the host; `mounted` holds the service's other managed files by path;
    `phase` is that of the containers; `contexts` gives what `build: STACK/IMAGE` names, in Compose's longer way of
    writing it (`context`, `additional_contexts`) with folders of this machine in it.
    Raises InvalidFile for what no service may do: an unpinned image, no health check, no memory limit, a published
    port outside the proxy.
    """
    source = f"templates/{service.folder}/compose.yaml.j2"
    data = dict(_mapping(data, source, ""))
    data.pop("x-ctl", None)
    values = {secret.name: secret for secret in secrets}
    containers: list[Container] = []
    files: dict[str, File] = {}
    services = _mapping(data.get("services", {}), source, "services")
    if not services:
        raise InvalidFile(source, "no service is in it", path="services")
    for name, fragment in services.items():
        _settle_shape(fragment, source, f"services.{name}")
        _apply(fragment, override, service, first=name == service.name)
        context = _build(fragment, contexts, directory, files)
        spawns = _spawn(fragment, service, stack, contexts, directory, files) if name == service.name else None
        _check(fragment, name, source, proxy=service.kind == "proxy")
        fragment.setdefault("restart", "unless-stopped")
        fragment.setdefault("security_opt", ["no-new-privileges:true"])
        mounts = _mounts(fragment, directory, mounted, skip=service.meta.reloaded)
        mark = fingerprint(
            [
                json.dumps({**fragment, "deploy": {**fragment["deploy"], "replicas": 1}}, sort_keys=True),
                *(digest(values[key]) for key in _references(fragment) if key in values),
                *(f"{path}={mounted[path].sha}" for path in mounts),
            ]
        )
        fragment.setdefault("labels", {}).update({FINGERPRINT: mark, SERVICE: service.name})
        replicas = fragment["deploy"].get("replicas", 1)
        containers.append(
            Container(
                name,
                service.name,
                fragment["image"],
                mark,
                phase,
                mounts,
                context,
                replicas,
                service.meta.scales,
                spawns,
            )
        )
    inner = [name for name in override.networks if name != "default"]
    known = {"default": stack.network_name, **{name: f"{stack.name}-{name}" for name in inner}}
    outside = {name: {"name": called, "external": True} for name, called in known.items()}
    data["networks"] = {**outside, **data.get("networks", {})}
    head = f"# Written by ctl from {source}. What is changed here by hand is shown as drift, and undone.\n"
    made = [File(f"{directory}/compose.yaml", (head + dump(data)).encode(), 2), *files.values()]
    if values:
        lines = "".join(f"{name}={dotenv(secret.reveal())}\n" for name, secret in sorted(values.items()))
        made.append(File(f"{directory}/.env", lines.encode(), 2, mode=0o600, sensitive=True))
    return tuple(made), tuple(containers)


def project(stack: str, directories: Iterable[str], *, root: str) -> File:
    """The top file of the Compose project, which includes every service's own."""
    included = [f"{posixpath.relpath(directory, root)}/compose.yaml" for directory in directories]
    data = {"name": stack, "include": included}
    return File(f"{root}/compose.yaml", b"# Written by ctl.\n" + dump(data).encode(), 2)


def reference(secret: Secret) -> str:
    """How a secret stands in a Compose file: by name. Its value is in the service's `.env`."""
    return "${" + secret.name + "}"


def _mapping(value: Any, source: str, path: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise InvalidFile(source, f"expected a mapping, got {value!r}", path=path)
    return value


def _settle_shape(fragment: Any, source: str, path: str) -> None:
    """Lists of `NAME=value` become mappings; what is looked at below has to be a mapping."""
    _mapping(fragment, source, path)
    for key in ("environment", "labels"):
        if isinstance(given := fragment.get(key), list):
            pairs = [str(item).partition("=") for item in given]
            fragment[key] = {name: value if mark else None for name, mark, value in pairs}
    for key in ("environment", "labels", "healthcheck", "deploy", "deploy.resources", "deploy.resources.limits"):
        value: Any = fragment
        for part in key.split("."):
            value = value.get(part, {})
        _mapping(value, source, f"{path}.{key}")


def _build(fragment: dict[str, Any], contexts: Contexts, directory: str, files: dict[str, File]) -> str:
    """`build: STACK/IMAGE` → an image named by its content, and the file it is built from. Raises UnknownName."""
    build = fragment.pop("build", None)
    if build is None:
        return ""
    if not isinstance(build, dict):
        build = {"context": build}
    context = contexts(str(build.get("context")), build.get("additional_contexts", {}))
    # What is built on the host is to be had nowhere else.
    fragment.update(image=context.image, pull_policy="never")
    return _packed(context, directory, files)


def _spawn(
    fragment: dict[str, Any],
    service: Service,
    stack: Stack,
    contexts: Contexts,
    directory: str,
    files: dict[str, File],
) -> Spawn | None:
    """What the service starts itself; the name of its image is put into the environment. Raises UnknownName."""
    spec = service.meta.spawns
    if spec is None:
        return None
    label = f"{stack.name}.{spec.label}"
    if not spec.image:
        return Spawn(spec.title, label)
    context = contexts(spec.image, {})
    if spec.env:
        fragment.setdefault("environment", {})[spec.env] = context.image
    return Spawn(spec.title, label, context.image, _packed(context, directory, files))


def _packed(context: Context, directory: str, files: dict[str, File]) -> str:
    path = f"{directory}/{context.name.rpartition('/')[2]}.tar"
    files[path] = File(path, context.tar(), 2)
    return path


def _apply(fragment: dict[str, Any], override: ServiceOverride, service: Service, *, first: bool) -> None:
    if override.networks:
        own = _networks(fragment)
        fragment["networks"] = {name: own.get(name) for name in override.networks} | own
    if not first:
        return
    if override.address:
        _fix_address(fragment, override.address)
    if override.replicas is not None:
        if not service.meta.scales or override.address:
            why = "has a fixed address" if override.address else "does not say of itself that it scales"
            raise InvalidFile(f"templates/{service.folder}/compose.yaml.j2", f"has no replicas: {service.name} {why}")
        fragment.setdefault("deploy", {})["replicas"] = override.replicas
    if override.memory is not None:
        fragment.setdefault("deploy", {}).setdefault("resources", {}).setdefault("limits", {})["memory"] = (
            override.memory
        )
    if override.env:
        environment = fragment.setdefault("environment", {})
        environment.update({name: value.replace("$", "$$") for name, value in override.env.items()})


def _networks(fragment: Mapping[str, Any]) -> dict[str, Any]:
    """The networks of a container by name, whichever of the two ways they are written in."""
    given = fragment.get("networks", {})
    return dict.fromkeys(given) if isinstance(given, list) else given


def _fix_address(fragment: dict[str, Any], address: str) -> None:
    fragment["networks"] = networks = _networks(fragment)
    networks["default"] = {**(networks.get("default") or {}), "ipv4_address": address}


def _check(fragment: Mapping[str, Any], name: str, source: str, *, proxy: bool) -> None:
    def refuse(problem: str, hint: str) -> InvalidFile:
        return InvalidFile(source, problem, path=f"services.{name}", hint=hint)

    image = fragment.get("image")
    if not isinstance(image, str) or not _PINNED.fullmatch(image):
        raise refuse(f"the image {image!r} is not pinned", "name a version, or a digest")
    check = fragment.get("healthcheck", {})
    if not check.get("test") or check["test"] in ("NONE", ["NONE"]) or check.get("disable"):
        raise refuse("has no health check", "a deploy waits for it: add healthcheck.test")
    if not fragment.get("deploy", {}).get("resources", {}).get("limits", {}).get("memory"):
        raise refuse("has no memory limit", "add deploy.resources.limits.memory")
    if (fragment.get("ports") or fragment.get("network_mode") == "host") and not proxy:
        raise refuse("publishes a port", "the proxy is the only door: declare x-ctl.route instead")


def _references(fragment: Mapping[str, Any]) -> list[str]:
    """The names of all `${NAME}` in the fragment, sorted."""
    return sorted(set(re.findall(r"(?<!\$)\$\{([A-Za-z_][A-Za-z0-9_]*)\}", json.dumps(fragment))))


def _mounts(
    fragment: Mapping[str, Any], directory: str, files: Mapping[str, File], *, skip: Iterable[str]
) -> tuple[str, ...]:
    """The paths of the managed files that the container mounts, sorted."""
    sources = []
    for volume in fragment.get("volumes") or ():
        source = str(volume.get("source", "")) if isinstance(volume, dict) else str(volume).split(":")[0]
        if source.startswith((".", "/")) and source not in skip:
            sources.append(posixpath.normpath(posixpath.join(directory, source)))
    return tuple(
        path for path in sorted(files) if any(path == source or path.startswith(f"{source}/") for source in sources)
    )
