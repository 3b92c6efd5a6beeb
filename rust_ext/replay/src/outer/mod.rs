//! Opening WireGuard captures.
