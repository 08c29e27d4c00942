"""A measured search for better settings: the plan and its neighbours, run on the real server.

- :mod:`~gemma4ctl.tuning.metrics`: the figure that is to become better
- :mod:`~gemma4ctl.tuning.space`: the settings that may change, and their values worth trying
- :mod:`~gemma4ctl.tuning.judge`: which combinations the rules and the memory allow
- :mod:`~gemma4ctl.tuning.study`: the trials, kept in a journal that survives any end of the search
- :mod:`~gemma4ctl.tuning.server`: one server, started through ``gemma4ctl serve`` and ended
- :mod:`~gemma4ctl.tuning.trial`: start, warm up, measure, stop
- :mod:`~gemma4ctl.tuning.search`: what to try next, within the time
- :mod:`~gemma4ctl.tuning.verdict`: whether the best is better than the plan, beyond the noise
- :mod:`~gemma4ctl.tuning.cell`: the winner as a row of the profile table
- :mod:`~gemma4ctl.tuning.userfile`: writing it into the user's table
- :mod:`~gemma4ctl.tuning.session`: one invocation, from its question to its result
"""
