sglang serve \
  --model-path google/gemma-4-E2B-it \
  --reasoning-parser gemma4 \
  --tool-call-parser gemma4 \
  --device cpu \
  --disable-overlap-schedule \
  --mem-fraction-static 0.85 \
  --model-type llm \
  --host 127.0.0.1 \
  --port 30000
