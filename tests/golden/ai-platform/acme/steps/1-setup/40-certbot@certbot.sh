# certbot, which asks for certificates
check() { installed certbot openssl; }
apply() { apt_lists && apt install --no-install-recommends certbot openssl; }
