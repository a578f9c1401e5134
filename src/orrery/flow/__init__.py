"""Flows: operators wired into a graph, checked before they run, and run again where something changed."""
