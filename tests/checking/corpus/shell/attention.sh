#!/bin/bash
# gemma4ctl: hardware=B200 modality=text,image
sglang serve --model-path google/gemma-4-31B-it --host 127.0.0.1 \
  --attention-backend flashinfer

sglang serve --model-path google/gemma-4-31B-it --host 127.0.0.1 \
  --attention-backend trtllm_mha

sglang serve --model-path google/gemma-4-31B-it --host 127.0.0.1 \
  --attention-backend triton
