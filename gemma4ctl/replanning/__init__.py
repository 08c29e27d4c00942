"""From what an endpoint was observed to serve to a plan that serves it better.

- :mod:`~gemma4ctl.replanning.observation`: what was seen: lengths, requests at once, pools, speed
- :mod:`~gemma4ctl.replanning.live`: seeing it in the metrics of a running server
- :mod:`~gemma4ctl.replanning.interval`: what its counters tell of the time between two samples
- :mod:`~gemma4ctl.replanning.requestlog`: seeing it in a log of requests
- :mod:`~gemma4ctl.replanning.limit`: which limit binds
- :mod:`~gemma4ctl.replanning.throughput`: what more requests at once would bring
- :mod:`~gemma4ctl.replanning.proposal`: the plan for the load, its changes and its gain
- :mod:`~gemma4ctl.replanning.report`: telling it, as text and as JSON
"""
