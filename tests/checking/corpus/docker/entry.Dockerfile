FROM lmsysorg/sglang:v0.5.16-runtime
WORKDIR /app
RUN cat > /app/start.sh <<'SH' && chmod +x /app/start.sh
#!/bin/bash
exec sglang serve --model-path "${MODEL:-google/gemma-4-31B-it}" --tp-size "${TP:-2}" "$@"
SH
ENTRYPOINT ["/app/start.sh"]
CMD ["--host", "0.0.0.0"]
