"""Checking commands and files that launch SGLang: read -> judge -> report, or fix."""
