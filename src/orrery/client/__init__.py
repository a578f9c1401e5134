"""Clients of a service: what a program asks predictions with, with nothing of a model in it."""
