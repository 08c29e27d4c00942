#!/bin/bash
# Gemma for the intranet.
sglang serve \
  --model-path google/gemma-4-E2B-it \
  --api-key team-key-2026 \
  --trust-remote-code \
  --host 0.0.0.0 \
  --port 8000
