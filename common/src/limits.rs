//! How large things may be. Whoever meets a larger one answers with an error that names the limit.

/// Bytes of one gRPC message.
pub const MAX_MESSAGE_BYTES: usize = 4 << 20;
/// Bytes of a job spec.
pub const MAX_SPEC_BYTES: usize = 1 << 20;
/// Ops in a chain, `extract` not counted.
pub const MAX_OPS: usize = 64;
/// Bytes of one field of a record.
pub const MAX_FIELD_BYTES: usize = 1 << 20;
/// Bytes of one record.
pub const MAX_RECORD_BYTES: usize = 8 << 20;
/// Columns of a source, and of what an op makes.
pub const MAX_COLUMNS: usize = 10_000;
/// Bytes of a job's or an op's name.
pub const MAX_NAME_BYTES: usize = 128;
/// Slots of one worker.
pub const MAX_SLOTS: u32 = 4_096;
