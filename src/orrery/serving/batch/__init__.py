"""A whole table answered: ``batch`` is the loop, ``parts`` what is kept of it until the output is whole."""
