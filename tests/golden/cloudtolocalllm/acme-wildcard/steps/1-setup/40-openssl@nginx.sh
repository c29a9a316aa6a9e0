# openssl, which makes certificates and reads them
check() { installed openssl; }
apply() { apt_lists && apt install openssl; }
