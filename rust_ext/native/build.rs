//! Sets PYFW_PROFILE to the cargo profile. Cargo's own PROFILE is only "release" or "debug"; the name of an
//! inheriting profile is that of its folder in the target directory.

use std::{env, path::Path};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let out = env::var("OUT_DIR").unwrap_or_default();
    // …/PROFILE/build/pyfw-native-HASH/out: the last match is the profile.
    let folder = Path::new(&out)
        .iter()
        .rev()
        .filter_map(|part| part.to_str())
        .find(|part| ["release", "editable", "debug"].contains(part));
    let inherited = env::var("PROFILE").unwrap_or_default();
    println!("cargo:rustc-env=PYFW_PROFILE={}", folder.unwrap_or(&inherited));
}
