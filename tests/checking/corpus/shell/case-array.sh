#!/usr/bin/env bash
set -Eeuo pipefail
usage() { cat <<USAGE
Usage: $0 [--model M]
Starts sglang serve --model-path M --whatever
USAGE
}
MODEL="${1:-google/gemma-4-31B-it}"
case "${GPU:-h200}" in
  h200) TP=2; EXTRA=(--mem-fraction-static 0.85) ;;
  b200) TP=1; EXTRA=(--mem-fraction-static 0.9 --attention-backend triton) ;;
  *) usage; exit 1 ;;
esac
ARGS=(
  --model-path "$MODEL"
  --tp-size "$TP"
  "${EXTRA[@]}"
  # --speculative-algorithm EAGLE
  --reasoning-parser gemma4
  --log-requests-levl 1
)
if [[ -n "${DEBUG:-}" ]]; then ARGS+=(--log-level debug); fi
trap 'kill 0' EXIT
LD_PRELOAD=/usr/lib/libjemalloc.so numactl --membind=0 -- \
  python3 -m sglang.launch_server "${ARGS[@]}" "$@" 2>&1 | tee >(ts > server.log) &
wait
