"""Loads a wg-quick file only if its peers are at addresses for documentation, which no network routes.

This keeps what sends packets in the clear inside the lab's namespaces.
"""

import ipaddress

from pyfw import config as configuration
from pyfw.config import Config

# RFC 5737 and RFC 3849.
_DOCUMENTATION = [
    ipaddress.ip_network(text)
    for text in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")
]


def load(conf: str) -> Config:
    """Reads the file. Raises ValueError (ConfigError is one) or OSError."""
    config = configuration.load(conf)
    for peer in config.peers:
        if not _is_documentation(peer.endpoint or ""):
            raise ValueError(
                f"peer endpoint {peer.endpoint or '(none)'}: without a cipher, packets may go only to "
                "addresses for documentation (RFC 5737, RFC 3849)"
            )
    return config


def _is_documentation(endpoint: str) -> bool:
    try:
        address = ipaddress.ip_address(endpoint.rpartition(":")[0].strip("[]"))
    except ValueError:
        return False
    return any(address in network for network in _DOCUMENTATION)
