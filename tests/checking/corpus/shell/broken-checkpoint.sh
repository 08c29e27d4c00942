#!/bin/bash
sglang serve \
  --model-path google/gemma-4-12B-it-qat-q4_0-unquantized \
  --host 127.0.0.1
