#!/bin/bash
# Not a Gemma: only the flags are checked.
sglang serve --model-path Qwen/Qwen3-8B --host 0.0.0.0 --port 30000 \
  --enable-torch-complie \
  --schedule-policy lpm \
  --trust-remote-code \
  --port 30001
