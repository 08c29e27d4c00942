#!/bin/bash
sglang serve --model-path google/gemma-4-26B-A4B-it --host 127.0.0.1 \
  --tp-size 2 --dp-size 2 \
  --enable-dp-attention
