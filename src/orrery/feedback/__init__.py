"""Feedback: what happened afterwards, joined to what was predicted; drift, retraining, promotion."""
