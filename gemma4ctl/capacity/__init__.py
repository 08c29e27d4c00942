"""What the memory of one GPU holds: weights, SGLang's KV pools, and the settings that fit most.

Pure arithmetic on the published shapes. Planning calls it; it knows nothing of requests or rules.
"""
