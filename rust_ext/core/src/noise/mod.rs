//! Handshake, sessions and cookies.
