import subprocess

cmd = ["sglang", "serve", "--model-path", "google/gemma-4-E4B-it"]
subprocess.run(cmd)
# sglang serve --model-path google/gemma-4-E4B-it
