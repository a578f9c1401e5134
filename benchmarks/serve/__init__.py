"""Programs of the serving benchmark, each a process of its own: the load, and what stands beside us."""
