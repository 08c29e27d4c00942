#!/bin/bash
DRAFT=google/gemma-4-26B-A4B-it-assistant
sglang serve --model-path google/gemma-4-26B-A4B-it --host 127.0.0.1 \
  --speculative-algorithm NEXTN \
  --speculative-draft-model-path $DRAFT
