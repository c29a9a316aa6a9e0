#!/bin/sh
# Mounts the drive; without an account it waits, so that everything else can be deployed.
if [ -z "$ACCOUNT" ]; then
    echo 'no Google account yet: set the secret GDRIVE_TOKEN or GDRIVE_SERVICE_ACCOUNT, and deploy'
    trap 'exit 0' TERM
    while :; do
        sleep 3600 &
        wait $!
    done
fi
# What a container that was killed left mounted answers nobody any more.
fusermount3 -uz /data/gdrive 2>/dev/null
exec rclone mount gdrive: /data/gdrive --allow-other --cache-dir /cache --vfs-cache-mode full --vfs-cache-max-size 3G \
    --dir-cache-time 5m --poll-interval 1m --umask 002 --uid 1000 --gid 1000
