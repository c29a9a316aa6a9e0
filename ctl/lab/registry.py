"""The lab's registry: it answers to the names of the public ones, with images that the lab built."""

from __future__ import annotations

import ssl
from collections.abc import Callable, Iterable, Mapping
from hashlib import sha256
from http.client import HTTPException, HTTPSConnection
from time import monotonic, sleep

import docker
from docker.errors import NotFound
from docker.models.containers import Container

from ctl.core.errors import CtlError
from ctl.lab import build, keys
from ctl.lab.machine import Machine
from ctl.lab.recipes import File, Recipe, archive

CONTAINER = "ctl-lab.registry"
VOLUME = "ctl-lab.registry"
PORT = 5443
# What a host asks when it pulls `caddy`, `ghcr.io/…` and so on. `docker.io` is only a way of writing the first.
NAMES = ("registry-1.docker.io", "docker.n8n.io", "ghcr.io", "quay.io", "cr.weaviate.io")
MANIFESTS = "application/vnd.docker.distribution.manifest.v2+json, application/vnd.oci.image.manifest.v1+json"


def ensure(
    client: docker.DockerClient,
    machine: Machine,
    recipes: Mapping[str, Recipe],
    network: str,
    *,
    slow: bool,
    say: Callable[[str], None],
) -> None:
    """Have the registry running on that network, with every image that a recipe serves, `slow` ones only if asked."""
    container = _running(client, machine, recipes, network, say=say)
    port = int(container.attrs["HostConfig"]["PortBindings"]["443/tcp"][0]["HostPort"])
    _wait(port)
    for recipe in recipes.values():
        if recipe.slow and not slow:
            continue
        # The second tag says from which recipe the first one came.
        if recipe.serves and not _has(port, recipe.serves.repository, f"lab-{recipe.digest}"):
            image = build.ensure(client, machine, recipes, recipe.name, say=say)
            for tag in (recipe.serves.tag, f"lab-{recipe.digest}"):
                _push(client, image, f"127.0.0.1:{port}/{recipe.serves.repository}", tag)
            say(f"the registry serves {recipe.serves}")


def _running(
    client: docker.DockerClient,
    machine: Machine,
    recipes: Mapping[str, Recipe],
    network: str,
    *,
    say: Callable[[str], None],
) -> Container:
    """The registry's container, made anew if its folder, the authority or the names changed; its storage stays.

    Not if only its base changed: a host may be pulling, and two checkouts would take turns in replacing it.
    """
    authority = keys.authority()
    parts = (recipes["registry"].own.encode(), authority.pem, *(name.encode() for name in NAMES))
    made_from = sha256(b"\n".join(parts)).hexdigest()[:16]
    try:
        container = client.containers.get(CONTAINER)
    except NotFound:
        pass
    else:
        if container.labels.get("ctl.lab.made-from") == made_from:
            if container.status != "running":
                container.start()
            return container
        container.remove(force=True)
    image = build.ensure(client, machine, recipes, "registry", say=say)
    certificate, key = keys.server(authority, (*NAMES, "localhost"))
    container = client.containers.create(
        image,
        name=CONTAINER,
        hostname="registry",
        labels={build.LABEL: "registry", "ctl.lab.made-from": made_from},
        ports={"443/tcp": ("127.0.0.1", PORT)},
        volumes={VOLUME: {"bind": "/var/lib/registry", "mode": "rw"}},
        network=network,
        networking_config={network: client.api.create_endpoint_config(aliases=list(NAMES))},
    )
    files = (File("etc/registry/tls.crt", certificate), File("etc/registry/tls.key", key, 0o600))
    container.put_archive("/", archive(files))
    container.start()
    say(f"started the registry; it answers to {', '.join(NAMES)}")
    container.reload()
    return container


def _ask(port: int, method: str, path: str) -> int:
    """The status of one request to the registry. Raises OSError or HTTPException while it is not there."""
    trust = ssl.create_default_context(cadata=keys.authority().pem.decode())
    connection = HTTPSConnection("127.0.0.1", port, timeout=10, context=trust)
    try:
        connection.request(method, path, headers={"Accept": MANIFESTS})
        return connection.getresponse().status
    finally:
        connection.close()


def _wait(port: int) -> None:
    deadline = monotonic() + 30
    while True:
        try:
            if _ask(port, "GET", "/v2/") == 200:
                return
            raise OSError("it answers, but not as a registry does")
        except (OSError, HTTPException) as error:
            if monotonic() > deadline:
                raise CtlError(
                    f"the lab's registry does not answer: {error}", hint=f"docker logs {CONTAINER}"
                ) from error
            sleep(0.2)


def _has(port: int, repository: str, tag: str) -> bool:
    return _ask(port, "HEAD", f"/v2/{repository}/manifests/{tag}") == 200


def _push(client: docker.DockerClient, image: str, repository: str, tag: str) -> None:
    """Push under a name of the loopback interface, where the engine asks for no certificate it knows."""
    client.images.get(image).tag(repository, tag=tag)
    try:
        events: Iterable[dict[str, object]] = client.images.push(repository, tag=tag, stream=True, decode=True)
        for event in events:
            if "error" in event:
                raise CtlError(f"the lab's registry did not take {repository}:{tag}: {event['error']}")
    finally:
        client.images.remove(f"{repository}:{tag}", noprune=True)


def remove(client: docker.DockerClient, *, storage: bool) -> None:
    """Remove the registry, and with `storage` what was pushed into it."""
    try:
        client.containers.get(CONTAINER).remove(force=True)
    except NotFound:
        pass
    if storage:
        try:
            client.volumes.get(VOLUME).remove()
        except NotFound:
            pass
