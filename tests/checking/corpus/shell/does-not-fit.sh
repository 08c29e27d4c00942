#!/bin/bash
# gemma4ctl: hardware=RTX-4090 gpus=1
sglang serve \
  --model-path google/gemma-4-31B-it \
  --host 127.0.0.1
