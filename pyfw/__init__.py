"""pyfw: an order-preserving WireGuard data plane, programmed in Python. Public names only.

Names are loaded when first used: `pyfw genkey` starts fast, and `pyfw-wg` forks before the extension
or an event loop is loaded.
"""
