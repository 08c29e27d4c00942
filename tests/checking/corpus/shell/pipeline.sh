#!/bin/bash
# Two small cards, one stage each.
sglang serve --model-path google/gemma-4-E4B-it \
  --pp-size 2 \
  --host 127.0.0.1
