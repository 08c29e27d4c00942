#!/usr/bin/env bash
declare -a args=(--model-path google/gemma-4-31B-it)
args+=(--tp-size 3)            # three cards left on this node
args+=(--host 127.0.0.1)
args+=(--port 30k)
sudo -u sglang env HF_HOME=/data/hf sglang serve "${args[@]}"
