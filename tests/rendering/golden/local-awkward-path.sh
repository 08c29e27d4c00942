CUDA_VISIBLE_DEVICES=GPU-8f2b7c1e-1111-4a4a-8c8c-000000000003 \
sglang serve \
  --model-path '/data/my models/it'"'"'s "26B" $(touch pwned) `id` $HOME
second line/gemma-4-модель' \
  --reasoning-parser gemma4 \
  --tool-call-parser gemma4 \
  --mem-fraction-static 0.85 \
  --model-type llm \
  --limit-mm-data-per-request '{"audio": 0}' \
  --host 127.0.0.1 \
  --port 30000
