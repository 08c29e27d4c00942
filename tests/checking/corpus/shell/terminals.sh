#!/bin/zsh
tmux new-session -d -s gemma "sglang serve --model-path google/gemma-4-E4B-it --port 30000"
tmux send-keys -t gemma2 'CUDA_VISIBLE_DEVICES=1 sglang serve --model-path google/gemma-4-E2B-it --prot 30001' C-m
ssh gpu1 "cd /srv && nohup sglang serve --model-path google/gemma-4-31B-it --tp 2 </dev/null &>log &"
screen -dmS x bash -c 'source venv/bin/activate; sglang serve --model-path google/gemma-4-12B-it; exec bash'
kubectl run gemma --image=lmsysorg/sglang:v0.5.16 --restart=Never -- sglang serve --model-path google/gemma-4-E4B-it --chat-templates x
docker compose exec gemma sglang serve --help
sglang serve --version
pgrep -f "sglang serve" && pkill -f 'sglang serve --model'
grep -r "sglang serve --foo" . || echo "no sglang serve --foo found"
alias serve='sglang serve --model-path google/gemma-4-E4B-it --mem-frac 0.8'
echo "Run: sglang serve --model-path X --not-a-flag"
which sglang && sglang serve --model-path google/gemma-4-E4B-it --disable-radix-caches
