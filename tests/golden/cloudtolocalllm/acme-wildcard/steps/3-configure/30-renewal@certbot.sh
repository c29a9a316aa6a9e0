# The certificate is renewed in time
# inputs: /etc/systemd/system/cloudtolocalllm-certificate.timer /etc/systemd/system/cloudtolocalllm-certificate.service
check() { systemctl is-enabled -q cloudtolocalllm-certificate.timer && systemctl is-active -q cloudtolocalllm-certificate.timer; }
apply() { systemctl daemon-reload && systemctl enable -q cloudtolocalllm-certificate.timer && systemctl restart cloudtolocalllm-certificate.timer; }
