//! Compiles the proto files without a protoc binary: protox reads them, tonic's generator writes the Rust types, and
//! the descriptors (comments included) are kept for reflection and for the JSON mapping of the spec.

use std::error::Error;
use std::path::PathBuf;
use std::{env, fs};

use prost::Message as _;

const FILES: [&str; 5] = [
    "plumbline/v1/types.proto",
    "plumbline/v1/spec.proto",
    "plumbline/v1/job_service.proto",
    "plumbline/v1/worker_service.proto",
    "plumbline/v1/exchange_service.proto",
];

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-changed=build.rs");
    println!("cargo::rerun-if-changed=plumbline");
    let descriptors = protox::compile(FILES, ["."])?;
    let out_dir = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out_dir.join("plumbline.v1.fds"), descriptors.encode_to_vec())?;
    tonic_prost_build::configure()
        .btree_map(".plumbline.v1")
        // A chunk of a fetched output is handed on without being copied.
        .bytes(".plumbline.v1.FetchResponse.chunk")
        .compile_fds(descriptors)?;
    Ok(())
}
