//! The wire: the generated types, and the only place where they meet domain types.
//!
//! Owns the proto files (`plumbline/v1/*.proto`) and the descriptors that reflection and the spec's JSON mapping are
//! driven by. Owns no connection and no decision.
//! Generated types are named here and at the edges only: the coordinator's gRPC services, the worker's session, the
//! CLI's client and spec loader, and tests.

pub mod convert;
pub mod json;
pub mod ticket;
pub mod token;

/// The generated types of `plumbline.v1`: messages, clients and servers.
#[allow(
    missing_docs,
    unreachable_pub,
    clippy::all,
    clippy::wildcard_enum_match_arm,
    clippy::large_futures,
    clippy::fn_params_excessive_bools,
    reason = "generated code keeps its generator's style"
)]
pub mod v1 {
    tonic::include_proto!("plumbline.v1");
}

/// The encoded descriptors of `plumbline.v1` and what it imports, comments included, for server reflection.
///
/// The google.rpc error details are not among them: a server registers `tonic_types::pb::FILE_DESCRIPTOR_SET` too, so
/// that clients can print them.
pub const FILE_DESCRIPTOR_SET: &[u8] = include_bytes!(concat!(env!("OUT_DIR"), "/plumbline.v1.fds"));
