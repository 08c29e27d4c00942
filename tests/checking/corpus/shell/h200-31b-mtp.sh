#!/bin/bash
# gemma4ctl: hardware=H200 gpus=2
# 31B with its draft on two H200.
ARGS=(
  --model-path google/gemma-4-31B-it
  --tp-size 2
  --mem-fraction-static 0.85
  --limit-mm-data-per-request "{\"audio\": 0}"
  --host 127.0.0.1 --port 30000
)

if [[ "${MTP:-1}" == 1 ]]; then
  ARGS+=(
    --speculative-algorithm NEXTN
    --speculative-draft-model-path google/gemma-4-31B-it-assistant
    --speculative-num-steps 5
    --speculative-num-draft-tokens 6
    --speculative-eagle-topk 1
  )
fi

CUDA_VISIBLE_DEVICES=0,1 python3 -m sglang.launch_server "${ARGS[@]}" 2>&1 | tee server.log
