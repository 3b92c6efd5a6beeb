//! pyfw-linux
