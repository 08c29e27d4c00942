"""What runs on given hardware, how much of a load fits, and what would make more fit.

Every figure is that of a plan: the ``suggest`` command of a row gives the same.
"""
