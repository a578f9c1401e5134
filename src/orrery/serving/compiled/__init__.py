"""Features made ready for a request: a plan of plain Python and NumPy calls, a step per fitted feature."""
