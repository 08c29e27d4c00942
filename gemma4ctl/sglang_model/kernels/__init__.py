"""Fused operations of Gemma 4's decoder layers, in Triton, with plain PyTorch references.

``norms`` (norm + residual + scalar + next norm), ``attention`` (QKV norm + RoPE + KV store),
``linear`` (products of a few rows with a large weight), ``per_layer`` (the per-layer embeddings
of E2B and E4B), ``experts`` (the chosen ones of a few tokens), ``decode`` (attention of decode
batches), ``logits`` (their softcap). Each function says which launches of stock SGLang it replaces
and where it rounds; ``reference`` computes the same with PyTorch alone. Importing needs torch only,
calling needs Triton. The Triton sources are in ``device``.
"""
