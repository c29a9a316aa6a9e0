"""The data volume encrypted by LUKS, on a host with a kernel of its own."""

from __future__ import annotations

from collections.abc import Iterator

import lab_vm
import pytest
import yaml
from lab_project import Project, Said
from lab_vm import Vm

DISK = "/dev/vdb"
MAPPER = "/dev/mapper/lean-llm-data"
KEY = "/etc/cryptsetup-keys.d/lean-llm-data.key"
SECONDS = 3000


@pytest.fixture(scope="module")
def server(engine: None, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Vm]:
    with lab_vm.vm(tmp_path_factory.mktemp("vm")) as found:
        yield found


@pytest.fixture(scope="module")
def ours(server: Vm, tmp_path_factory: pytest.TempPathFactory) -> Project:
    """The project whose vault has the key."""
    return known(Project(tmp_path_factory.mktemp("ours")), server)


@pytest.fixture
def strangers(server: Vm, project: Project) -> Project:
    """One that has another key."""
    return known(project, server)


def known(project: Project, server: Vm) -> Project:
    lab = server.lab
    project.known_hosts.write_bytes(lab.known_hosts.read_bytes())
    variables = {
        "docker_source": "distribution",
        "access": "internal",
        "data_device": DISK,
        "data_encryption": "luks",
    }
    entry = {"address": lab.address, "port": lab.port, "user": "root", "key": str(lab.key), "stack": "lean-llm"}
    project.inventory.write_text(yaml.safe_dump({"hosts": {"vm": {**entry, "vars": variables}}}))
    return project


def setup(project: Project) -> Said:
    return project.ctl("setup", "vm", "--yes", seconds=SECONDS)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        ("mkfs.ext4 -q -L photos DISK", "holds data already: photos ext4"),
        ("printf 'something of somebody' | dd of=DISK bs=512 seek=40 conv=notrunc 2>/dev/null", "is not blank"),
        (
            "printf theirs | cryptsetup luksFormat -q --pbkdf pbkdf2 --pbkdf-force-iterations 1000 DISK -",
            "holds data already: crypto_LUKS",
        ),
    ],
    ids=["a file system", "something unknown", "somebody else's encryption"],
)
def test_a_disk_with_data_is_refused_and_not_touched(server: Vm, strangers: Project, make: str, told: str) -> None:
    packages = "DEBIAN_FRONTEND=noninteractive apt-get -qq install -y e2fsprogs cryptsetup-bin >/dev/null"
    server.sh(f"command -v cryptsetup >/dev/null || {{ apt-get -qq update >/dev/null && {packages}; }}")
    server.sh(f"dd if=/dev/zero of={DISK} bs=1M 2>/dev/null; {make.replace('DISK', DISK)}; sync; udevadm settle")
    before = server.sh(f"sha256sum {DISK}")
    said = setup(strangers)
    assert said.code == 1, said
    assert told in said.error
    assert "nothing was touched" in said.error
    assert server.sh(f"sha256sum {DISK}") == before
    assert not server.inside.file("/etc/crypttab").exists
    # The host is another one to the next project.
    server.sh(f"rm -rf /opt/lean-llm {KEY}")


def test_a_blank_disk_is_encrypted(server: Vm, ours: Project) -> None:
    server.sh(f"dd if=/dev/zero of={DISK} bs=1M 2>/dev/null; sync; udevadm settle")
    said = setup(ours)
    assert said.code == 0, said
    assert server.sh(f"cryptsetup luksDump {DISK} | sed -n 's/^Version:[[:space:]]*//p'") == "2"
    assert server.sh(f"blkid -p -o value -s LABEL {DISK}") == "ctl-luks"
    assert server.sh("findmnt -n -o SOURCE,FSTYPE --mountpoint /mnt/data").split() == [MAPPER, "ext4"]
    key = server.inside.file(KEY)
    assert (key.mode, key.user, key.size) == (0o600, "root", 64)
    kept = server.sh("grep ^DATA_VOLUME_KEY= /opt/lean-llm/.ctl/secrets.env")
    assert server.sh(f"cat {KEY}") in kept, "and can be recovered from there"
    server.sh("echo 'words that nobody else may read' >/mnt/data/letter; sync")
    assert server.sh(f"grep -c 'words that nobody' {DISK} || true") == "0"


def test_a_second_time_nothing_is_done(server: Vm, ours: Project) -> None:
    said = ours.ctl("plan", "vm", "--phase", "1", "--json", "--detailed-exitcode", seconds=SECONDS)
    assert (said.code, said.data["changes"]) == (0, [])


def test_after_a_boot_the_data_is_there_and_nothing_is_to_be_done(server: Vm, ours: Project) -> None:
    server.reboot()
    assert server.sh("systemctl is-system-running --wait || true") == "running"
    assert server.sh("findmnt -n -o SOURCE --mountpoint /mnt/data") == MAPPER
    assert server.sh("cat /mnt/data/letter") == "words that nobody else may read"
    said = ours.ctl("plan", "vm", "--phase", "1", "--json", "--detailed-exitcode", seconds=SECONDS)
    assert (said.code, said.data["changes"]) == (0, [])


def test_a_vault_without_the_key_is_told_how_to_get_it_back(server: Vm, strangers: Project) -> None:
    before = server.sh(f"sha256sum {KEY} /etc/crypttab")
    said = setup(strangers)
    assert said.code == 2, said
    assert "holds another DATA_VOLUME_KEY than this release" in said.error
    assert "ctl secrets pull vm" in said.error
    assert server.sh(f"sha256sum {KEY} /etc/crypttab") == before
    assert strangers.ctl("secrets", "pull", "vm", "--yes", seconds=SECONDS).code == 0
    assert strangers.ctl("plan", "vm", "--phase", "1", "--detailed-exitcode", seconds=SECONDS).code == 0


def test_a_key_that_is_lost_everywhere_is_an_error_and_nothing_is_touched(server: Vm, strangers: Project) -> None:
    """As where the disk came to another host without its vault."""
    server.sh("umount /mnt/data; systemctl stop 'systemd-cryptsetup@*'; rm -rf /opt/lean-llm /etc/crypttab " + KEY)
    before = server.sh(f"sha256sum {DISK}")
    said = setup(strangers)
    assert said.code == 1, said
    assert f"{DISK} is encrypted with another key than DATA_VOLUME_KEY: nothing was touched" in said.error
    assert "ctl secrets set vm DATA_VOLUME_KEY" in said.error
    assert server.sh(f"sha256sum {DISK}") == before


def test_a_disk_that_this_program_encrypted_is_taken_as_it_is(server: Vm, ours: Project) -> None:
    server.sh(f"rm -rf /opt/lean-llm {KEY}")
    said = setup(ours)
    assert said.code == 0, said
    assert server.sh("cat /mnt/data/letter") == "words that nobody else may read"
