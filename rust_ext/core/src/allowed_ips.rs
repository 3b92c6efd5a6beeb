//! Cryptokey routing.
#[derive(Debug, Default)]
pub struct AllowedIps;
