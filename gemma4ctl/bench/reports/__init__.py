"""What the results of ``gemma4ctl bench`` mean: beside other results, beside published figures.

- :mod:`~gemma4ctl.bench.reports.figures`: the figures that are reported, and which way is better
- :mod:`~gemma4ctl.bench.reports.compare`: two results, and whether noise explains the difference
- :mod:`~gemma4ctl.bench.reports.reference`: a result beside the published figures
- :mod:`~gemma4ctl.bench.reports.tables`: both as tables for a terminal
- :mod:`~gemma4ctl.bench.reports.plot`: as drawings
- :mod:`~gemma4ctl.bench.reports.page`: all of it as one HTML file
"""
