sglang serve \
  --model-path google/gemma-4-31B-it \
  --tp-size 2 `# two GPUs` \
  --mem-fraction-static 0.85 \
  --log-level-htttp warning

# sglang serve --model-path google/gemma-4-31B-it --not-read
sudo -E env HF_HOME=/srv sglang serve --model-path google/gemma-4-E4B-it --dtype fp16
python3 -u -X dev -m sglang.launch_server --model google/gemma-4-E4B-it --ports 1
uv run --with 'sglang==0.5.16' sglang serve --model-path google/gemma-4-E4B-it --kv-cache-dtype fp8_e4m3 --tpx 1
uvx --from sglang==0.5.16 sglang serve google/gemma-4-E4B-it
poetry run sglang serve --model-path google/gemma-4-E4B-it --hosts 127.0.0.1
nsys profile -o out --trace=cuda python -m sglang.launch_server --model-path google/gemma-4-E4B-it --disable-cuda-grph
timeout --signal=INT 10m sglang serve --model-path google/gemma-4-E4B-it || true
( cd /srv && sglang serve --model-path ./gemma-4-31B-it --tp-size 5 ) &
for m in E2B E4B; do sglang serve --model-path "google/gemma-4-$m-it" --port 3000 & done
if ! pgrep sglang; then sglang serve --model-path google/gemma-4-E4B-it --max-running-requests many; fi
time sglang serve --model-path google/gemma-4-26B-A4B-it --speculative-algorithm NEXTN
sglang serve --model-path google/gemma-4-26B-A4B-it --quantization awq_marlin --enable-lora --speculative-algorithm EAGLE3 --speculative-draft-model-path google/gemma-4-26B-A4B-it-assistant --speculative-num-steps 5 --speculative-num-draft-tokens 6 --speculative-eagle-topk 1
sglang serve --config gemma.yaml
sglang serve --model-path=google/gemma-4-E4B-it --json-model-override-args='{"a": 1}' --host=0.0.0.0 --api-key "$KEY"
sglang serve --model-path google/gemma-4-E4B-it --host 0.0.0.0 --config /run/key.yaml
sglang serve --model-path google/gemma-4-E4B-it --host ::
sglang-router launch --worker-urls x
python -m sglang_router.launch_server --model-path google/gemma-4-E4B-it --dp-size 4 --router-policy cache_aware --host 127.0.0.1 --tpp 2
docker build -t sglang-serve . && docker push sglang-serve
git clone https://github.com/sgl-project/sglang && cd sglang && pip install -e "python[all]"
