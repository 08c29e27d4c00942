#!/bin/bash
sglang serve --model-path google/gemma-4-31B-it --tp 2 \
  --schedule lpm \
  --host 127.0.0.1 --max-running 64
