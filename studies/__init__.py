"""Searches over the harness."""
