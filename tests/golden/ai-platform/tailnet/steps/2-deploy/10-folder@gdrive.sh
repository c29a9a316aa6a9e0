# The folder at which Google Drive appears
check() { [ -d /home/ubuntu/ai-platform/data/gdrive/sync ]; }
apply() { (umask 022 && mkdir -p /home/ubuntu/ai-platform/data/gdrive/sync); }
