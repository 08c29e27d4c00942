CUDA_VISIBLE_DEVICES=GPU-8f2b7c1e-1111-4a4a-8c8c-000000000003,GPU-8f2b7c1e-2222-4a4a-8c8c-000000000005 \
sglang serve \
  --model-path google/gemma-4-26B-A4B-it \
  --tp-size 2 \
  --reasoning-parser gemma4 \
  --tool-call-parser gemma4 \
  --speculative-algorithm NEXTN \
  --speculative-draft-model-path google/gemma-4-26B-A4B-it-assistant \
  --speculative-num-steps 5 \
  --speculative-num-draft-tokens 6 \
  --speculative-eagle-topk 1 \
  --mem-fraction-static 0.85 \
  --model-type llm \
  --limit-mm-data-per-request '{"audio": 0}' \
  --host 127.0.0.1 \
  --port 30000
