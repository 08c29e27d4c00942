"""gemma4ctl: a correct, fast, explained Gemma 4 endpoint on SGLang with one command."""

__version__ = "0.1.0"
