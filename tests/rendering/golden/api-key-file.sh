sglang serve \
  --model-path google/gemma-4-E4B-it \
  --reasoning-parser gemma4 \
  --tool-call-parser gemma4 \
  --mem-fraction-static 0.85 \
  --model-type llm \
  --config '/home/user/.config/gemma4ctl/key $1.yaml' \
  --host ::1 \
  --port 30000
