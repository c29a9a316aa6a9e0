"""The encrypted data volume, its key, the order of its steps, and how the key is kept from being lost."""

from __future__ import annotations

import pytest
from samples import fit, rendered, secrets_for, selection, settled

from ctl.core.errors import InvalidFile, UsageError
from ctl.core.fitness import guard
from ctl.core.plan import plan
from ctl.core.secret import KEEPSAKE

LUKS = {"access": "internal", "data_device": "vol-0a1b2c", "data_encryption": "luks"}
KEY = "/etc/cryptsetup-keys.d/lean-llm-data.key"


def test_the_key_is_kept_with_the_host_before_the_disk_depends_on_it() -> None:
    whole = rendered(vars=LUKS)
    key, kept = whole.file(KEY), whole.file(f"{whole.root}/{KEEPSAKE}")
    assert key is not None
    assert kept is not None
    assert (key.phase, key.mode, key.owner, key.sensitive) == (1, 0o600, "root:root", True)
    assert not key.content.endswith(b"\n"), "as a person would type it"
    assert b"DATA_VOLUME_KEY=" in kept.content
    todo = plan(whole, fit(), phases=(1,))
    paths = [change.path for change in todo.files]
    assert {KEY, f"{whole.root}/{KEEPSAKE}"} <= set(paths)
    first = [change.step.id for change in todo.steps][:2]
    assert first == ["1-setup/04-encrypt@luks", "1-setup/05-data-volume"]


def test_the_key_is_in_no_step() -> None:
    whole = rendered(vars=LUKS)
    value = secrets_for(selection(vars=LUKS))["DATA_VOLUME_KEY"].reveal()
    assert not [step.id for step in whole.steps if value in step.text]


def test_another_key_than_the_hosts_is_refused_before_anything_is_touched() -> None:
    whole = rendered(vars=LUKS)
    facts = settled(whole, secrets={"DATA_VOLUME_KEY": "0123456789abcdef"})
    with pytest.raises(UsageError, match="holds another DATA_VOLUME_KEY") as caught:
        guard(whole, facts)
    assert "ctl secrets pull" in caught.value.hint


def test_without_it_nothing_of_it_is_there() -> None:
    for values in ({"access": "internal"}, {"access": "internal", "data_device": "vol-0a1b2c"}):
        whole = rendered(vars=values)
        assert whole.file(KEY) is None
        assert "1-setup/04-encrypt@luks" not in [step.id for step in whole.steps]
        assert "DATA_VOLUME_KEY" not in selection(vars=values).secrets


def test_encryption_of_no_disk_is_refused() -> None:
    with pytest.raises(InvalidFile, match="there is nothing to encrypt"):
        selection(vars={"access": "internal", "data_encryption": "luks"})
