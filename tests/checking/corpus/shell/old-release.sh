#!/bin/bash
python3 -m venv /opt/sglang && . /opt/sglang/bin/activate
pip install "sglang==0.5.14"
sglang serve \
  --model-path google/gemma-4-12B-it \
  --host 127.0.0.1
