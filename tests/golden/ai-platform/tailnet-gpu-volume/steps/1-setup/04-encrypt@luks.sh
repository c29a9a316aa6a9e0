# The data volume /dev/nvme1n1 encrypted (LUKS2), opened as /dev/mapper/ai-platform-data
# inputs: /etc/cryptsetup-keys.d/ai-platform-data.key
# timeout: 900
declared=/dev/nvme1n1
name=ai-platform-data
key=/etc/cryptsetup-keys.d/ai-platform-data.key
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

unit() { systemd-escape --template=systemd-cryptsetup@.service "$name"; }
opens() { cryptsetup open --test-passphrase --key-file "$key" "$(disk "$declared")"; }

check() {
    [ "$(field TYPE "$(disk "$declared")")" = crypto_LUKS ] && opens &&
    [ "$(lsblk -n -r -o NAME "$(disk "$declared")" | sed -n 2p)" = "$name" ] &&
    grep -q "^$name UUID=$(field UUID "$(disk "$declared")") $key " /etc/crypttab
}

# What can stop this is found before anything is written to the disk.
able() {
    modprobe -q dm_crypt
    if grep -q ' device-mapper$' /proc/misc; then return; fi
    echo "the kernel of this host has no device-mapper, without which there is no encrypted disk: nothing was touched"
    return 1
}

apply() {
    there "$declared" || return 1
    device=$(disk "$declared")
    able || return 1
    # Where systemd's part of it is a package of its own, it is needed too.
    apt_lists
    installed cryptsetup-bin || apt install cryptsetup-bin || return 1
    if [ -n "$(apt-cache madison systemd-cryptsetup)" ]; then
        installed systemd-cryptsetup || apt install systemd-cryptsetup || return 1
    fi
    case $(field LABEL "$device") in
    ctl-luks | ctl-luks-new)
        # One that this program made earlier, on another host perhaps, is taken as it is.
        if ! opens; then
            echo "$declared is encrypted with another key than DATA_VOLUME_KEY: nothing was touched"
            echo "give the key that it was made with: ctl secrets set h1 DATA_VOLUME_KEY"
            return 1
        fi
        ;;
    *)
        if ! empty "$declared"; then
            echo "an empty disk only is encrypted: nothing was touched"
            return 1
        fi
        # The key is random already: what makes passwords hard to guess would only take memory and time.
        cryptsetup luksFormat -q --type luks2 --label ctl-luks-new --pbkdf pbkdf2 --pbkdf-force-iterations 1000 \
            --key-file "$key" "$device" || return 1
        ;;
    esac
    uuid=$(field UUID "$device")
    if ! grep -q "^$name UUID=$uuid $key " /etc/crypttab 2>/dev/null; then
        {
            sed "/^$name /d" /etc/crypttab 2>/dev/null
            echo "$name UUID=$uuid $key luks"
        } >/etc/crypttab.new && chmod 0644 /etc/crypttab.new && mv /etc/crypttab.new /etc/crypttab || return 1
    fi
    systemctl daemon-reload && udevadm settle && systemctl start "$(unit)" || return 1
    # What is new is made blank inside as well, so that a file system is made on it. What was broken off here goes on here.
    if [ "$(field LABEL "$device")" = ctl-luks-new ]; then
        size=$(blockdev --getsize64 "/dev/mapper/$name") || return 1
        for at in 0 $((size / 1048576 - 1)); do
            dd if=/dev/zero of="/dev/mapper/$name" bs=1M seek="$at" count=1 conv=notrunc,fsync 2>/dev/null || return 1
        done
        cryptsetup config "$device" --label ctl-luks
    fi
}
