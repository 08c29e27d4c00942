#!/bin/sh
# Starts the assistant on the workstation.
nohup sglang serve \
    --model-path google/gemma-4-E4B-it \
    --mem-fraction-staic 0.8 \
    --tool-call-parser gemm4 \
    --reasoning-parser gemma4 \
    --context-length 32768 \
    --host 127.0.0.1 > /var/log/gemma.log 2>&1 &
echo "sglang serve is starting, see /var/log/gemma.log"
