"""Replays captures through the real data plane in virtual time, and compares the results with expectations.

    case.replay.toml → case → pyfw._native.replay → expectation → compare with expected.json

This module imports nothing: the pytest plugin imports it in every pytest run where pyfw is installed.
"""
