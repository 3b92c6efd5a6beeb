//! Two devices on a virtual wire, with paths that keep to the exchange's rules.

mod configuration;
mod crossing;
mod end;
mod handshakes;
mod hostile;
mod timers;
mod wire;
