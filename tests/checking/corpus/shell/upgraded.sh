#!/bin/bash
# Written for an older release, run with a newer one.
IMAGE=lmsysorg/sglang:v0.5.23
docker run --rm --gpus all -p 127.0.0.1:30000:30000 $IMAGE \
  sglang serve --model-path google/gemma-4-26B-A4B-it --host 0.0.0.0 \
    --cuda-graph-max-bs 64 \
    --disable-cuda-graph
