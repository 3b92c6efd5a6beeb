//! Sets `avx512` where the compiler knows those target features (Rust 1.89); Debian 13's is 1.85.

use std::{env, process::Command};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    println!("cargo:rustc-check-cfg=cfg(avx512)");
    let rustc = env::var("RUSTC").unwrap_or_else(|_| "rustc".into());
    let version = Command::new(rustc).arg("--version").output();
    let minor = version.ok().and_then(|output| {
        let text = String::from_utf8(output.stdout).ok()?;
        text.split('.').nth(1)?.parse::<u32>().ok()
    });
    if minor.is_some_and(|minor| minor >= 89) {
        println!("cargo:rustc-cfg=avx512");
    }
}
