"""Builds the images of the recipes with this machine's engine, each only if its content changed."""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Mapping

import docker
from docker.errors import APIError, ImageNotFound

from ctl.core.errors import CtlError
from ctl.lab import ground
from ctl.lab.machine import Machine
from ctl.lab.recipes import GROUND, NAMESPACE, Recipe, archive

LABEL = "ctl.lab"


def ensure(
    client: docker.DockerClient,
    machine: Machine,
    recipes: Mapping[str, Recipe],
    name: str,
    *,
    say: Callable[[str], None],
) -> str:
    """Have the image of a recipe and of its bases; return its name. Raises CtlError if a build fails."""
    recipe = recipes[name]
    if present(client, recipe.image):
        return recipe.image
    for base in recipe.bases:
        if base == GROUND:
            ground.ensure(client, machine, say=say)
        else:
            ensure(client, machine, recipes, base, say=say)
    began = time.monotonic()
    say(f"building the image {name}")
    _build(client, recipe)
    _forget_older(client, recipe)
    say(f"built the image {name} in {time.monotonic() - began:.0f} s")
    return recipe.image


def present(client: docker.DockerClient, image: str) -> bool:
    """Whether this machine's engine has the image."""
    try:
        client.images.get(image)
    except ImageNotFound:
        return False
    return True


def _build(client: docker.DockerClient, recipe: Recipe) -> None:
    said: list[str] = []
    for event in client.api.build(
        fileobj=io.BytesIO(archive(recipe.files)),
        custom_context=True,
        tag=recipe.image,
        rm=True,
        forcerm=True,
        labels={LABEL: "image"},
        decode=True,
    ):
        said.append(str(event.get("stream", "")))
        if "error" in event:
            output = [line for line in "".join(said).splitlines() if line.strip()]
            # What the failing command printed stands at the end, after the builder's own announcement of it.
            raise CtlError(f"the lab image {recipe.name} did not build: {event['error']}", hint="\n".join(output[-8:]))


def _forget_older(client: docker.DockerClient, recipe: Recipe) -> None:
    """Remove what the recipe made before, unless a container still uses it, and the inner stages of the build."""
    for image in client.images.list(name=f"{NAMESPACE}/{recipe.name}"):
        for tag in image.tags:
            if tag.startswith(f"{NAMESPACE}/{recipe.name}:") and tag != recipe.image:
                try:
                    client.images.remove(tag)
                except APIError:
                    continue
    client.images.prune(filters={"dangling": True, "label": LABEL})


def remove(client: docker.DockerClient) -> None:
    """Remove every image of the lab and what its builds left behind."""
    for image in client.images.list(filters={"reference": f"{NAMESPACE}/*"}):
        for tag in image.tags:
            client.images.remove(tag, force=True)
    client.images.prune(filters={"dangling": True, "label": LABEL})
