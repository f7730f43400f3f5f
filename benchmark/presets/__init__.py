"""Specs that come with the package: one YAML file a preset."""
