docker run -d --name gemma --gpus all --env-file .env -e SGLANG_USE_AITER -p 30000:30000 -v "$PWD":/w -w /w --entrypoint /bin/bash lmsysorg/sglang:v0.5.16 -c "sglang serve --model-path google/gemma-4-E4B-it --host 0.0.0.0 --port 30000"
docker run -it --rm --network=host --privileged --device=/dev/kfd --device=/dev/dri --ipc=host --shm-size 16G --group-add video lmsysorg/sglang:v0.5.13.post1-rocm720-mi30x python3 -m sglang.launch_server --model-path google/gemma-4-E2B-it --host 127.0.0.1
docker run --rm --device=/dev/kfd --device=/dev/dri --env-file amd.env lmsysorg/sglang:v0.5.13.post1-rocm720-mi30x sglang serve --model-path google/gemma-4-E2B-it
docker exec -d gemma sh -c 'sglang serve --model-path google/gemma-4-E4B-it --tp-sze 2 > /tmp/log 2>&1'
docker run --gpus=2 lmsysorg/sglang:v0.5.16 bash -lc "cd /sgl-workspace && \
  python3 -m sglang.launch_server \
    --model-path google/gemma-4-31B-it --tp 2 \
    --enable-p2p-chek"
podman run --device nvidia.com/gpu=all --security-opt=label=disable -p 127.0.0.1:8000:8000 docker.io/lmsysorg/sglang:v0.5.16 sglang serve --model-path google/gemma-4-E4B-it --host 0.0.0.0 --port 8000
nerdctl run --gpus all -P lmsysorg/sglang:latest sglang serve --model-path google/gemma-4-E4B-it --host 0.0.0.0
docker run --gpus all -p 30000:30000 lmsysorg/sglang:v0.5.16 sglang serve --model-path google/gemma-4-E4B-it
cat > docker-compose.yml <<YAML
services:
  gemma:
    image: lmsysorg/sglang:v0.5.16
    command: sglang serve --model-path ${MODEL:-google/gemma-4-E4B-it} --tp-sizee 2
    ports: ["127.0.0.1:30000:30000"]
YAML
tee /etc/systemd/system/gemma.service >/dev/null <<'UNIT'
[Service]
ExecStart=/opt/venv/bin/sglang serve --model-path google/gemma-4-E4B-it --tool-call-parsr gemma4
UNIT
