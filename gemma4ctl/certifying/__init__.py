"""Prove on a user's own weights that the fused kernels answer as SGLang's own code, and faster.

``prompts`` are what both servers are asked, ``ask`` asks it all (``collect`` prompts, ``images``
questions about images), ``compare`` judges, ``weights`` names the weights, ``receipt`` keeps the
result, ``certify`` starts the servers and puts it together.
"""
