SGLANG_USE_AITER=0 \
ROCR_VISIBLE_DEVICES=GPU-5a1b2c3d4e5f6071 \
sglang serve \
  --model-path google/gemma-4-E2B-it \
  --reasoning-parser gemma4 \
  --tool-call-parser gemma4 \
  --mem-fraction-static 0.85 \
  --model-type llm \
  --host 127.0.0.1 \
  --port 30000
