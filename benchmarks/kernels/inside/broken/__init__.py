"""Gemma 4 with a kernel that is wrong on purpose: what ``compare_servers.py`` must refuse.

SGLang loads it through ``SGLANG_EXTERNAL_MODEL_PACKAGE=broken``; ``BROKEN`` says what is wrong:
"residual" (dropped after attention), "scalar" (of the layers, dropped) or "slot" (of sliding
layers, off by one). The module's own check at start, which would refuse it, is left out.
"""
