# Packages that the later steps use
check() { installed ca-certificates curl; }
apply() { apt_lists && apt install ca-certificates curl; }
