"""Accuracy of an endpoint, scored by ``sgl-eval`` or SGLang's own evaluators as subprocesses.

- :mod:`~gemma4ctl.evaluation.evaluators`: which evaluators this machine has, and what each can do
- :mod:`~gemma4ctl.evaluation.commands`: how each of them is called
- :mod:`~gemma4ctl.evaluation.process`: one of them running: its progress, its end
- :mod:`~gemma4ctl.evaluation.outputs`: what it says when it has finished
- :mod:`~gemma4ctl.evaluation.failures`: why it did not
- :mod:`~gemma4ctl.evaluation.intervals`: how far a score of so many questions can be trusted
- :mod:`~gemma4ctl.evaluation.published`: the published scores beside it
- :mod:`~gemma4ctl.evaluation.evaluate`: all of it together
- :mod:`~gemma4ctl.evaluation.result`: the result as data and as text
"""
