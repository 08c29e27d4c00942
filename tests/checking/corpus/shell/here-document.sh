#!/bin/bash
# Installs the unit; the launch in the here-document counts, too.
cat > /etc/systemd/system/gemma.service <<'UNIT'
[Unit]
Description=Gemma 4

[Service]
ExecStart=/opt/sglang/bin/sglang serve --model-path google/gemma-4-E4B-it \
    --host 127.0.0.1 --served-model-name
Restart=on-failure
UNIT
systemctl daemon-reload
