"""The HTTP faces over the runner: they turn bytes into columns, and answers into bytes."""
