# The folder at which Google Drive appears
check() { [ -d /opt/ai-platform/data/gdrive/sync ]; }
apply() { (umask 022 && mkdir -p /opt/ai-platform/data/gdrive/sync); }
