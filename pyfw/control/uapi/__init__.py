"""WireGuard's userspace configuration protocol: the server in the daemon and its client."""
