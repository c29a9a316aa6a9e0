# The certificate is renewed in time
# inputs: /etc/systemd/system/ai-platform-certificate.timer /etc/systemd/system/ai-platform-certificate.service
check() { systemctl is-enabled -q ai-platform-certificate.timer && systemctl is-active -q ai-platform-certificate.timer; }
apply() { systemctl daemon-reload && systemctl enable -q ai-platform-certificate.timer && systemctl restart ai-platform-certificate.timer; }
