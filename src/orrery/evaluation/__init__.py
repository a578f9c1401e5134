"""How good predictions are: exact metrics, reports, pages, and comparisons of models.

Begin with ``report.py`` (``evaluate``); a new metric is a file in ``metrics/`` and a line in its table.
"""
