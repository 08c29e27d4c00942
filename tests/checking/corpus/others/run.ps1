$Model = "google/gemma-4-E4B-it"
docker run --gpus all -p 127.0.0.1:30000:30000 lmsysorg/sglang:v0.5.16 `
  sglang serve --model-path $Model --host 0.0.0.0
