#!/bin/bash
docker rm -f gemma 2>/dev/null || true
docker run -d --name gemma --gpus '"device=0"' --shm-size 16g \
  -p 30000:30000 \
  -v "$HOME/.cache/huggingface:/root/.cache/huggingface" \
  -e HF_TOKEN \
  lmsysorg/sglang:v0.5.16 \
  sglang serve --model-path google/gemma-4-E4B-it \
    --host 0.0.0.0 --port 30000
