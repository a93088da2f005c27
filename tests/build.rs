//! Tells the suites for which platform they are built.

fn main() {
    let target = std::env::var("TARGET").expect("cargo sets TARGET for build scripts");
    println!("cargo::rustc-env=HOST_TARGET={target}");
    println!("cargo::rerun-if-changed=build.rs");
}
