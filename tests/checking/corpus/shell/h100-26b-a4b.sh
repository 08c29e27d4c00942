#!/usr/bin/env bash
# One H100 behind a local reverse proxy.
set -euo pipefail

MODEL="${MODEL:-google/gemma-4-26B-A4B-it}"
PORT=30000

export HF_HUB_OFFLINE=1

exec sglang serve \
  --model-path "$MODEL" \
  --model-type llm \
  --reasoning-parser gemma4 \
  --tool-call-parser gemma4 \
  --mem-fraction-static 0.85 \
  --limit-mm-data-per-request '{"audio": 0}' \
  --host 127.0.0.1 \
  --port "$PORT"
