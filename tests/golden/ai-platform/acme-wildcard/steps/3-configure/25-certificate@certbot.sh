# The certificate of ai.example.com, *.ai.example.com, from acme-v02.api.letsencrypt.org
# inputs: /opt/ai-platform/certbot/certificate /opt/ai-platform/certbot/deploy /opt/ai-platform/certbot/cli.ini /opt/ai-platform/certbot/credentials.ini
# timeout: 900
# failure: warning
check() { /opt/ai-platform/certbot/certificate check; }
apply() { /opt/ai-platform/certbot/certificate; }
