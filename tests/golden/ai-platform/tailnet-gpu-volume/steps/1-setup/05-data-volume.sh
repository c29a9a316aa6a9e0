# The data volume /dev/nvme1n1, mounted at /mnt/data
# timeout: 1800
declared=/dev/mapper/ai-platform-data
place=/mnt/data
# A disk as the inventory names it, and whether it may be written to: for the steps that include this.

# disk NAME: its device. An EBS volume goes by its id, which is the same whatever the kernel calls the device.
disk() {
    case $1 in
    vol-*) readlink -e "/dev/disk/by-id/nvme-Amazon_Elastic_Block_Store_vol${1#vol-}" ;;
    *) readlink -e "$1" ;;
    esac
}

# field NAME DEVICE: a property of what is on it.
field() { blkid -p -o value -s "$1" "$2"; }

# Whether there is such a disk at all.
there() {
    [ -b "$(disk "$1")" ] && return
    echo "there is no disk $1 on this host; there are:"
    lsblk -d -n -o NAME,SIZE,TYPE,MODEL
    return 1
}

# empty NAME: whether nothing is on it: no file system, partition or other signature, no user, and zeros at both ends.
empty() {
    device=$(disk "$1")
    found=$(blkid -p -o export "$device" | sed -n 's/^\(TYPE\|PTTYPE\|LABEL\)=//p' | paste -sd ' ' -)
    if [ -n "$found" ]; then echo "$1 holds data already: $found"; return 1; fi
    if [ "$(lsblk -n -o NAME "$device" | wc -l)" -ne 1 ]; then echo "$1 has partitions"; return 1; fi
    if findmnt -n -S "$device" || grep -q "^$device " /proc/swaps; then echo "$1 is in use"; return 1; fi
    size=$(blockdev --getsize64 "$device") || return 1
    for at in 0 $((size / 1048576 - 1)); do
        if [ "$(dd if="$device" bs=1M skip="$at" count=1 2>/dev/null | tr -d '\0' | wc -c)" -ne 0 ]; then
            echo "$1 is not blank: it holds something that is no file system that is known here"
            return 1
        fi
    done
}

unit() { systemd-escape -p --suffix=mount "$place"; }

check() {
    device=$(disk "$declared")
    [ -b "$device" ] && [ "$(readlink -e "$(findmnt -n -o SOURCE --mountpoint "$place")")" = "$device" ] &&
    systemctl is-enabled -q "$(unit)"
}

apply() {
    there "$declared" || return 1
    device=$(disk "$declared")
    installed e2fsprogs || { apt_lists && apt install e2fsprogs; } || return 1
    # One that this program made earlier, on another host perhaps, is taken as it is.
    if [ "$(field LABEL "$device")" != ctl-data ]; then
        if ! empty "$declared"; then
            echo "a file system is made on an empty disk only: nothing was touched"
            return 1
        fi
        mkfs.ext4 -q -L ctl-data "$device" || return 1
    fi
    tries=0
    until [ -e "/dev/disk/by-uuid/$(field UUID "$device")" ]; do
        tries=$((tries + 1))
        if [ "$tries" -ge 30 ]; then echo "$declared does not appear under /dev/disk/by-uuid"; return 1; fi
        sleep 1
    done
    (
        umask 022
        mkdir -p "$place"
        {
            echo '[Unit]'
            echo 'Description=Data volume of the stack ai-platform'
            # Without it containers would write into the empty folder below.
            echo 'Before=docker.service'
            echo
            echo '[Mount]'
            echo "What=/dev/disk/by-uuid/$(field UUID "$device")"
            echo "Where=$place"
            echo 'Type=ext4'
            echo 'Options=noatime'
            echo
            echo '[Install]'
            echo 'WantedBy=local-fs.target'
            echo 'RequiredBy=docker.service'
        } >"/etc/systemd/system/$(unit)"
    ) && systemctl daemon-reload && systemctl enable --now -q "$(unit)"
}
