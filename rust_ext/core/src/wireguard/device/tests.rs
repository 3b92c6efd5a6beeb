//! Two devices on a virtual wire, with paths that follow the rules of `wireguard::commands`.

mod configuration;
mod crossing;
mod end;
mod handshakes;
mod hostile;
mod timers;
mod wire;
