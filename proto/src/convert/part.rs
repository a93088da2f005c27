//! Parts: what a sink attempt staged.

use common::part::Part;

use super::InvalidMessage;
use super::ids::op_id;
use crate::v1;

impl From<&Part> for v1::Part {
    fn from(part: &Part) -> Self {
        v1::Part {
            op: part.op.0.into(),
            file: part.file.clone(),
            offset: part.offset,
            length: part.length,
            checksum: part.checksum,
            rows: part.rows,
        }
    }
}

impl TryFrom<v1::Part> for Part {
    type Error = InvalidMessage;

    fn try_from(wire: v1::Part) -> Result<Self, InvalidMessage> {
        if wire.offset.checked_add(wire.length).is_none() {
            return Err(InvalidMessage::new("length", "ends beyond what a file can hold"));
        }
        Ok(Part {
            op: op_id("op", wire.op)?,
            file: wire.file,
            offset: wire.offset,
            length: wire.length,
            checksum: wire.checksum,
            rows: wire.rows,
        })
    }
}
