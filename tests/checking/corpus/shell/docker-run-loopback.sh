#!/bin/bash
# Published on the loopback only; nginx on this host adds TLS and keys.
docker run --rm --gpus all --ipc host \
  -p 127.0.0.1:30000:30000 \
  lmsysorg/sglang:v0.5.16-cu130 \
  python3 -m sglang.launch_server --model-path google/gemma-4-12B-it \
    --host 0.0.0.0 --port 30000 --tool-call-parser gemma4
