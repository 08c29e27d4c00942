# syntax=docker/dockerfile:1
ARG SGLANG_VERSION=v0.5.16
FROM lmsysorg/sglang:${SGLANG_VERSION} AS base
ENV MODEL=google/gemma-4-12B-it \
    PORT=30000
RUN --mount=type=cache,target=/root/.cache/pip pip install "transformers>=5.12" \
 && python -c "import sglang; print(sglang.__version__)"
COPY entrypoint.sh /entrypoint.sh
HEALTHCHECK CMD curl -f http://localhost:${PORT}/health
FROM base AS serve
USER 1000
ENTRYPOINT ["/usr/bin/tini", "--"]
CMD python3 -m sglang.launch_server --model-path $MODEL --port $PORT --enable-metric
