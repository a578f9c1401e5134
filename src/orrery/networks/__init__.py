"""Networks: an encoder per kind of block, a combiner, a decoder per kind of answer.

Importing this package loads nothing; its modules load torch (all but ``inputs`` and ``session``).
"""
