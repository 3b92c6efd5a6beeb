"""WireGuard's cross-platform userspace API (UAPI): the daemon's socket, its protocol, and a client."""
