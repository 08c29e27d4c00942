#!/bin/bash
CMD="python3 -m sglang.launch_server --model-path google/gemma-4-31B-it --tp-size 2"
CMD="$CMD --reasoning-parser gemma4"
CMD+=" --tool-call-parser gemma4 --chunked-prefill-sizee 4096"
echo "Running: $CMD"
eval "$CMD" &
cmd=(sglang serve --model-path google/gemma-4-E4B-it)
cmd+=(--port 30001 --schedule-polic lpm)
"${cmd[@]}" &
set -- --model-path google/gemma-4-12B-it --attention-backend flashinfer
exec sglang serve "$@"
