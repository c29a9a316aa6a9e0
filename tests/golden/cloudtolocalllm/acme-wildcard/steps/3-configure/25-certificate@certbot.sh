# The certificate of cloud.example.com, *.cloud.example.com, *.users.cloud.example.com, from acme-v02.api.letsencrypt.org
# inputs: /opt/cloudtolocalllm/certbot/certificate /opt/cloudtolocalllm/certbot/deploy /opt/cloudtolocalllm/certbot/cli.ini /opt/cloudtolocalllm/certbot/credentials.ini
# timeout: 900
# failure: warning
check() { /opt/cloudtolocalllm/certbot/certificate check; }
apply() { /opt/cloudtolocalllm/certbot/certificate; }
