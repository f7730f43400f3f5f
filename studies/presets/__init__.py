"""Specs of studies and ablations that come with the package."""
