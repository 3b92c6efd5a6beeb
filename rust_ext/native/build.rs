//! Tells the crate the cargo profile it is built with. Cargo's own PROFILE names only "release" and
//! "debug"; a profile that inherits from one of them is known by its folder in the target directory.

use std::{env, path::Path};

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let out = env::var("OUT_DIR").unwrap_or_default();
    // …/PROFILE/build/pyfw-native-HASH/out: the folder that is nearest to the end counts.
    let folder = Path::new(&out)
        .iter()
        .rev()
        .filter_map(|part| part.to_str())
        .find(|part| ["release", "editable", "debug"].contains(part));
    let inherited = env::var("PROFILE").unwrap_or_default();
    println!("cargo:rustc-env=PYFW_PROFILE={}", folder.unwrap_or(&inherited));
}
