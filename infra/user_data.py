"""Renders the first-boot script: it installs Python for the agent, mounts the data volume and installs uv.

The script never destroys data: it mounts, and does not format, a volume that holds anything. On a host of the local
cloud (HOST_ROOT set, no root of its own) it only makes a directory. Every wait is bounded, and after a failure SSM
still reaches the host.
"""

from __future__ import annotations

DATA_DEVICE = "/dev/sdf"
DATA_MOUNT = "/data"
DEVICE_WAIT_SECONDS = 300
USER_DATA_LIMIT_BYTES = 16_384  # https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/instancedata-add-user-data.html

_SCRIPT = r"""#!/bin/bash
# Made by runctl; runs once, at first boot, and logs to the system's journal as runctl-boot.
set -u
say() { echo "runctl-boot: $*"; }

if [ -n "${HOST_ROOT:-}" ]; then
    mkdir -p "$HOST_ROOT@MOUNT@"
    say "local host: nothing to prepare"
    exit 0
fi
if [ "$(id -u)" -ne 0 ]; then
    say "not root: nothing done"
    exit 0
fi

# The agent needs Python 3.10; Amazon Linux 2023 ships 3.9 as python3, on which its own tools depend.
install_python() {
    for python in python3.14 python3.13 python3.12 python3.11 python3.10 python3; do
        if command -v "$python" >/dev/null && "$python" -c 'import sys; sys.exit(sys.version_info < (3, 10))'; then
            say "has $python"
            return 0
        fi
    done
    if command -v dnf >/dev/null; then
        dnf install -y -q python3.11 python3.11-pip
    elif command -v apt-get >/dev/null; then
        export DEBIAN_FRONTEND=noninteractive
        apt-get update -qq && apt-get install -y -qq python3.11 python3.11-venv
    fi || say "no Python 3.10 or newer could be installed"
}

# uv brings what a project asks for; without it such a run names them, and --no-deps still works.
install_uv() {
    local place=/opt/runctl/uv
    command -v uv >/dev/null && return 0
    for python in python3.14 python3.13 python3.12 python3.11 python3.10 python3; do
        command -v "$python" >/dev/null && break
    done
    # An environment of its own, because a distribution's Python may refuse to be added to (PEP 668).
    "$python" -m venv "$place" && "$place/bin/pip" install -q uv && ln -sf "$place/bin/uv" /usr/local/bin/uv ||
        say "uv could not be installed"
}

# Nitro hosts show @DEVICE@ as an NVMe disk. The root disk and instance stores are not it: the first has partitions or
# is mounted, the others have another model. https://docs.aws.amazon.com/ebs/latest/userguide/nvme-ebs-volumes.html
data_device() {
    local name disk
    for name in @DEVICE@ /dev/xvd@LETTER@; do
        [ -b "$name" ] && readlink -f "$name" && return 0
    done
    for disk in /sys/block/nvme*; do
        [ -e "$disk" ] && grep -qs "Amazon Elastic Block Store" "$disk/device/model" || continue
        name="/dev/${disk##*/}"
        [ "$(lsblk -nr -o NAME "$name" | wc -l)" -eq 1 ] || continue
        [ -z "$(lsblk -nr -o MOUNTPOINT "$name" | tr -d '[:space:]')" ] || continue
        echo "$name"
        return 0
    done
    return 1
}

mount_data() {
    local deadline=$((SECONDS + @WAIT@)) device kind uuid
    mkdir -p @MOUNT@
    mountpoint -q @MOUNT@ && return 0
    until device=$(data_device); do
        if [ "$SECONDS" -ge "$deadline" ]; then
            say "no data volume within @WAIT@ s"
            return 0
        fi
        sleep 2
    done
    # Formats only what blkid, reading the disk itself, finds blank (exit 2); any other answer leaves it alone.
    kind=$(blkid -p -o value -s USAGE "$device")
    case $? in
        0) say "$device holds data ($kind)" ;;
        2) say "$device is blank: making a filesystem"; mkfs.ext4 -q -L runctl-data "$device" || return 1 ;;
        *) say "$device cannot be read: left alone"; return 1 ;;
    esac
    uuid=$(blkid -p -o value -s UUID "$device")
    [ -n "$uuid" ] || { say "$device has no filesystem to mount: left alone"; return 1; }
    # nofail: a host whose volume is gone still boots, so that it can be examined.
    grep -q "$uuid" /etc/fstab || echo "UUID=$uuid @MOUNT@ auto defaults,nofail 0 2" >>/etc/fstab
    mount @MOUNT@ && say "$device is at @MOUNT@"
}

install_python
mount_data
install_uv
"""


def user_data() -> str:
    """Return the boot script: the same text for every host of every stack, within EC2's limit of 16 KiB."""
    replaced = {
        "@DEVICE@": DATA_DEVICE,
        "@LETTER@": DATA_DEVICE[-1],
        "@MOUNT@": DATA_MOUNT,
        "@WAIT@": str(DEVICE_WAIT_SECONDS),
    }
    script = _SCRIPT
    for mark, value in replaced.items():
        script = script.replace(mark, value)
    return script
