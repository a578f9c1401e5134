"""Findings as pages and as a summary in the terminal; nothing is computed here that matters."""
