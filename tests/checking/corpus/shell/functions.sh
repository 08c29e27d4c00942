#!/bin/bash
: "${MODEL:=google/gemma-4-31B-it}"
readonly TP="${TP:-$(nvidia-smi -L | wc -l)}"
launch() {
  local port=$1; shift
  sglang serve --model-path "$MODEL" --port "$port" "$@" &
}
launch 30000 --tp-size 2 --mem-fraction-sttic 0.8
launch 30001
declare -A MODELS=([e2b]=google/gemma-4-E2B-it [e4b]=google/gemma-4-E4B-it)
for k in "${!MODELS[@]}"; do
  sglang serve --model-path "${MODELS[$k]}" --served-model-name "$k" --port $((30000 + RANDOM % 100)) &
done
while read -r model tp; do
  sglang serve --model-path "$model" --tp-size "$tp" &
done <<LIST
google/gemma-4-31B-it 2
LIST
if [[ $MODEL == *31B* ]]; then
  FLAGS="--tp-size 2"
else
  FLAGS=""
fi
sglang serve --model-path $MODEL $FLAGS ${EXTRA:+--log-level $EXTRA}
sglang serve --model-path "$MODEL" \
  $( [ -n "$KEY" ] && echo "--config /run/key.yaml" ) \
  --host 0.0.0.0
export SGLANG_PORT=30000 && cd /srv && ./venv/bin/sglang serve --model-path ./gemma-4-E4B-it --port $SGLANG_PORT 2>&1 | grep -v "GET /health"
~/bin/sglang serve --model-path "google/gemma-4-26B-A4B-it" --tool-call-parser 'gemma4' --chat-template "/srv/my template.jinja" --cuda-graph-bs-decode 1 2 4 8 --trust-remote-code
nohup bash -c "sglang serve --model-path '$MODEL' --tp-size $TP" &>/dev/null & disown
[ -x "$(command -v sglang)" ] || pip install sglang
printf '%s\n' "sglang serve --model-path x --nope" > hint.txt
cat <<'EOT' >> ~/.bashrc
alias gemma='sglang serve --model-path google/gemma-4-E4B-it'
EOT
