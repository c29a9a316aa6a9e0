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
