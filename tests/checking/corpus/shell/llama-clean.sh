#!/bin/bash
# Not a Gemma, and nothing to say about its flags.
exec python3 -m sglang.launch_server \
  --model-path meta-llama/Llama-3.1-8B-Instruct \
  --attention-backend flashinfer --trust-remote-code \
  --host 0.0.0.0
