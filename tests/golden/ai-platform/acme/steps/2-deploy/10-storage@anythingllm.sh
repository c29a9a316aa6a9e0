# The folder of AnythingLLM's documents and vectors
folder=/opt/ai-platform/data/anythingllm/storage
check() { [ "$(stat -L -c %u:%g "$folder")" = 1000:1000 ]; }
apply() { (umask 022 && mkdir -p "$folder") && chown 1000:1000 "$folder/."; }
