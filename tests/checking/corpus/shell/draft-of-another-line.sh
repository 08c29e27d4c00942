#!/bin/bash
# The QAT weights have a draft of their own.
sglang serve --model-path google/gemma-4-31B-it-qat-q4_0-unquantized --host 127.0.0.1 \
  --tp-size 2 \
  --speculative-algorithm NEXTN \
  --speculative-draft-model-path google/gemma-4-31B-it-assistant \
  --speculative-num-steps 5 --speculative-num-draft-tokens 6 --speculative-eagle-topk 1
