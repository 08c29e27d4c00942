FROM lmsysorg/sglang:v0.5.16-rocm720-mi30x
ENV HIP_VISIBLE_DEVICES=0
# SGLANG_USE_AITER is on in this image.
CMD ["sglang", "serve", \
     "--model-path", "google/gemma-4-E4B-it", \
     "--host", "127.0.0.1"]
