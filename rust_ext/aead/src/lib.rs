//! pyfw-aead
