CUDA_VISIBLE_DEVICES=MIG-1c4b5a52-7e4d-5d6e-9a8b-0123456789ab \
sglang serve \
  --model-path google/gemma-4-E2B-it \
  --reasoning-parser gemma4 \
  --tool-call-parser gemma4 \
  --mem-fraction-static 0.85 \
  --model-type llm \
  --host 127.0.0.1 \
  --port 30000
