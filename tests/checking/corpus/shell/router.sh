#!/bin/bash
# Four replicas behind the router.
python3 -m sglang_router.launch_server \
  --model-path google/gemma-4-E4B-it \
  --dp-size 4 \
  --router-policy cache_aware \
  --host 127.0.0.1 --port 30000
