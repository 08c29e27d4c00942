sglang serve \
  --model-path google/gemma-4-31B-it \
  --reasoning-parser gemma4 \
  --tool-call-parser gemma4 \
  --mem-fraction-static 0.85 \
  --model-type llm \
  --limit-mm-data-per-request '{"audio": 0}' \
  --host 127.0.0.1 \
  --port 30000
