"""Captures through the real data plane in virtual time: cases, comparison, reports, pytest plugin.

    case.replay.toml → case → plan → pyfw._native.replay → outcome → compare with expected.json

Nothing is loaded here: the pytest plugin of everyone who installs pyfw passes through this module.
"""
