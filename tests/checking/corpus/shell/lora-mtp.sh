#!/bin/bash
sglang serve \
  --model-path google/gemma-4-26B-A4B-it \
  --lora-paths support=/adapters/support \
  --speculative-algorithm NEXTN \
  --speculative-draft-model-path google/gemma-4-26B-A4B-it-assistant \
  --speculative-num-steps 5 \
  --speculative-num-draft-tokens 6 \
  --speculative-eagle-topk 1 \
  --host 127.0.0.1
