#!/bin/bash
docker run --rm --device /dev/kfd --device /dev/dri --group-add video \
  -p 127.0.0.1:30000:30000 \
  lmsysorg/sglang:v0.5.16-rocm700-mi30x \
  sglang serve \
    --model-path google/gemma-4-E2B-it \
    --host 0.0.0.0
