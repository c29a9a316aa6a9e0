# The certificate of ai.tail1234.ts.net, from Tailscale
# inputs: /home/ubuntu/ai-platform/scripts/certificate
certificate() { openssl x509 -in /home/ubuntu/ai-platform/proxy/tls/fullchain.pem -noout "$@"; }

check() { certificate -checkend 604800 && certificate -checkhost ai.tail1234.ts.net | grep -q 'does match'; }
apply() {
    sh /home/ubuntu/ai-platform/scripts/certificate && return
    echo "HTTPS has to be switched on for the tailnet: DNS page of the admin console; or set tls to self-signed"
    return 1
}
