//! Writing pcapng.
