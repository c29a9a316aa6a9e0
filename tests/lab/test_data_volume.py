"""The data volume: a file system is made on an empty disk only, and what is on another one is not touched."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import yaml
from lab_project import Project
from lab_server import Server

ROOT = "/home/admin/ai-platform"
FILE = "/var/lib/docker-disk.img"


@pytest.fixture(scope="module")
def disk(bare: Server) -> Iterator[str]:
    """A disk of 64 MB that is blank, with somebody who plays udev."""
    packages = "DEBIAN_FRONTEND=noninteractive apt-get -qq install -y e2fsprogs fdisk >/dev/null"
    bare.sh(f"apt-get -qq update >/dev/null && {packages}")
    bare.sh("mknod /dev/loop-control c 10 237; for n in $(seq 0 63); do mknod -m 0600 /dev/loop$n b 7 $n; done; true")
    bare.sh(f"truncate -s 64M {FILE}")
    device = bare.sh(f"losetup --find --show {FILE}")
    bare.sh(
        "systemd-run -q --unit=udev-of-the-lab sh -c 'mkdir -p /dev/disk/by-uuid; while :; do "
        f"uuid=$(blkid -p -o value -s UUID {device}) && ln -sfn {device} /dev/disk/by-uuid/$uuid; sleep 0.3; done'"
    )
    yield device
    bare.sh(f"systemctl stop udev-of-the-lab; umount /mnt/data; losetup -d {device}; true")


def write(project: Project, name: str, device: str, **more: str) -> None:
    variables = {"docker_source": "distribution", "access": "internal", "data_device": device, **more}
    entry = {"stack": "ai-platform", "root": ROOT, "vars": variables}
    project.inventory.write_text(yaml.safe_dump({"hosts": {name: entry}}))


@pytest.mark.parametrize(
    ("make", "told"),
    [
        ("mkfs.ext4 -q -L photos DISK", "holds data already"),
        ("mkswap -q DISK", "holds data already"),
        ("echo 'label: gpt' | sfdisk -q DISK", "holds data already"),
        ("printf 'something of somebody' | dd of=DISK bs=512 seek=40 conv=notrunc 2>/dev/null", "is not blank"),
    ],
    ids=["a file system", "swap", "a partition table", "something unknown"],
)
def test_a_disk_with_data_is_refused_and_not_touched(
    bare: Server, disk: str, project: Project, make: str, told: str
) -> None:
    bare.sh(f"dd if=/dev/zero of={disk} bs=1M count=64 2>/dev/null; {make.replace('DISK', disk)}; sync")
    before = bare.sh(f"sha256sum {disk}")
    write(project, bare.name, disk)
    said = project.ctl("setup", bare.name, "--yes")
    assert said.code == 1, said
    assert told in said.error
    assert "nothing was touched" in said.error
    assert bare.sh(f"sha256sum {disk}") == before
    assert not bare.inside.exists("docker"), "it is looked at before anything else"


def test_a_disk_that_is_not_there(bare: Server, project: Project) -> None:
    write(project, bare.name, "/dev/nvme9n1")
    said = project.ctl("setup", bare.name, "--yes")
    assert said.code == 1, said
    assert "there is no disk /dev/nvme9n1 on this host" in said.error


def test_a_blank_disk_becomes_the_data_volume(bare: Server, disk: str, project: Project) -> None:
    bare.sh(f"dd if=/dev/zero of={disk} bs=1M count=64 2>/dev/null; sync")
    write(project, bare.name, disk)
    said = project.ctl("setup", bare.name, "--yes", "--json")
    assert said.code == 0, said
    assert bare.sh("findmnt -n -o SOURCE,FSTYPE --mountpoint /mnt/data").split() == [disk, "ext4"]
    unit = bare.sh("cat /etc/systemd/system/mnt-data.mount")
    assert f"What=/dev/disk/by-uuid/{bare.sh(f'blkid -p -o value -s UUID {disk}')}" in unit
    assert bare.sh("systemctl is-enabled mnt-data.mount") == "enabled"
    for folder, place in {
        "data/anythingllm/storage": "anythingllm/storage",
        "data/gdrive/sync": "gdrive",
        "backups": "backups",
        "media": "media",
    }.items():
        assert bare.sh(f"readlink {ROOT}/{folder}") == f"/mnt/data/{place}"
    for folder in ("scripts", "stacks", "data", "logs"):
        assert bare.inside.file(f"{ROOT}/{folder}").is_directory


def test_a_second_time_nothing_is_done(bare: Server, disk: str, project: Project) -> None:
    write(project, bare.name, disk)
    said = project.ctl("plan", bare.name, "--phase", "1", "--json", "--detailed-exitcode")
    assert (said.code, said.data["changes"]) == (0, [])


def test_a_volume_that_ctl_made_is_taken_as_it_is(bare: Server, disk: str, project: Project) -> None:
    bare.sh("echo kept >/mnt/data/media/film; systemctl disable -q --now mnt-data.mount")
    bare.sh("rm /etc/systemd/system/mnt-data.mount; systemctl daemon-reload")
    write(project, bare.name, disk)
    said = project.ctl("setup", bare.name, "--yes")
    assert said.code == 0, said
    assert bare.sh(f"cat {ROOT}/media/film") == "kept"


def test_a_kernel_that_cannot_encrypt_is_told_before_the_disk_is_touched(
    bare: Server, disk: str, project: Project
) -> None:
    if "device-mapper" in bare.sh("cat /proc/misc"):
        pytest.skip("this kernel has device-mapper")
    bare.sh("systemctl stop mnt-data.mount 2>/dev/null; umount /mnt/data 2>/dev/null; true")
    bare.sh(f"dd if=/dev/zero of={disk} bs=1M count=64 2>/dev/null; sync")
    write(project, bare.name, disk, data_encryption="luks")
    said = project.ctl("setup", bare.name, "--yes")
    assert said.code == 1, said
    assert "the kernel of this host has no device-mapper" in said.error
    assert bare.sh(f"tr -d '\\0' <{disk} | wc -c") == "0"
