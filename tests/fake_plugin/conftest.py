"""Tests of the packages in here are run where the packages are installed, see ``tests/integration``."""

collect_ignore_glob = ["*"]
