"""A running OpenAI-compatible endpoint: where it is, what it serves, what it measures.

- :mod:`~gemma4ctl.endpoint.address`: its URL and API key
- :mod:`~gemma4ctl.endpoint.http`: one request, with the standard library alone
- :mod:`~gemma4ctl.endpoint.facts`: model, release and limits, as the server tells them
- :mod:`~gemma4ctl.endpoint.metrics`: its Prometheus metrics
"""
