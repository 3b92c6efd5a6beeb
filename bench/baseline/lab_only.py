"""The guard in front of what carries packets in the clear: only between addresses of the lab.

In: a wg-quick file. Out: its configuration, if every peer is at an address for documentation, which no
network outside of the lab routes. Else ValueError.
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
        if not _in_the_lab(peer.endpoint or ""):
            raise ValueError(
                f"a peer's endpoint is {peer.endpoint or 'not given'}: without a cipher, packets go to "
                "addresses for documentation alone (RFC 5737, RFC 3849)"
            )
    return config


def _in_the_lab(endpoint: str) -> bool:
    try:
        address = ipaddress.ip_address(endpoint.rpartition(":")[0].strip("[]"))
    except ValueError:
        return False
    return any(address in network for network in _DOCUMENTATION)
