FROM lmsysorg/sglang:v0.5.16-rocm720-mi30x
ENV HIP_VISIBLE_DEVICES=0 SGLANG_USE_AITER=0
CMD ["sglang", "serve", \
     "--model-path", "google/gemma-4-E4B-it", \
     "--host", "127.0.0.1"]
