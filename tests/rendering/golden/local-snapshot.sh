sglang serve \
  --model-path /home/user/.cache/huggingface/hub/models--google--gemma-4-12B-it/snapshots/707f0a3b \
  --reasoning-parser gemma4 \
  --tool-call-parser gemma4 \
  --mem-fraction-static 0.85 \
  --model-type llm \
  --host 127.0.0.1 \
  --port 30000
