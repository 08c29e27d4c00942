FROM lmsysorg/sglang:v0.5.16
ARG TP=2
ENV SGLANG_ARGS="--tp-size ${TP} --log-levelz info"
SHELL ["/bin/bash", "-o", "pipefail", "-c"]
EXPOSE 30000
ENTRYPOINT ["sh", "-c", "exec sglang serve --model-path google/gemma-4-31B-it $SGLANG_ARGS \"$@\"", "--"]
