"""Measuring a running endpoint: load it as users would, and say how fast it answered.

- :mod:`~gemma4ctl.bench.workload`: what is asked: lengths, numbers, images; the page's scenarios
- :mod:`~gemma4ctl.bench.client`: ask it, keeping when each token came
- :mod:`~gemma4ctl.bench.summary`: throughput and latency of what was answered
- :mod:`~gemma4ctl.bench.measure`: warm up, ask, sum up: one measurement
- :mod:`~gemma4ctl.bench.document`: the results as data, with all that they were measured on
"""
