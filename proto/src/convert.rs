//! Wire types to domain types and back, one file a noun.
//!
//! Owns the total mapping of every message: what has a domain type becomes one or is refused, never ignored. Two kinds
//! of refusal: a job that a person wrote is answered with every problem at once ([`common::job::InvalidJob`], in
//! [`mod@job`]), a frame that a program made with the first one ([`InvalidMessage`]). Owns no default that a domain type
//! has already, and no check that needs more than the message.

pub mod failure;
pub mod holdings;
pub mod ids;
pub mod job;
pub mod limits;
pub mod logs;
pub mod message;
mod needs;
mod op;
pub mod packed;
pub mod part;
mod problems;
pub mod report;
mod schedule;
mod select;
mod sink;
pub mod slice;
mod source;
pub mod state;
pub mod summary;
pub mod time;
pub mod timeline;

use std::convert::Infallible;

/// A message of a worker, a coordinator or a client that is not what the protocol allows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{field}: {problem}")]
pub struct InvalidMessage {
    /// The field's path in the message, such as `grant.steps[0].attempt`.
    pub field: String,
    /// What is wrong with it, lowercase, without a full stop.
    pub problem: String,
}

impl InvalidMessage {
    /// Names a problem of a field.
    pub fn new(field: impl Into<String>, problem: impl Into<String>) -> InvalidMessage {
        InvalidMessage {
            field: field.into(),
            problem: problem.into(),
        }
    }

    /// Names a field that must be there and is not.
    pub fn missing(field: impl Into<String>) -> InvalidMessage {
        InvalidMessage::new(field, "is missing")
    }

    /// Returns the problem with the path of the message that holds the field put before it.
    #[must_use]
    pub fn within(self, outer: &str) -> InvalidMessage {
        if self.field.is_empty() {
            return InvalidMessage::new(outer, self.problem);
        }
        InvalidMessage::new(format!("{outer}.{}", self.field), self.problem)
    }
}

impl From<Infallible> for InvalidMessage {
    fn from(never: Infallible) -> Self {
        match never {}
    }
}

/// Converts a field that must be there.
fn required<W, D>(field: &str, value: Option<W>) -> Result<D, InvalidMessage>
where
    W: TryInto<D>,
    InvalidMessage: From<W::Error>,
{
    convert(field, value.ok_or_else(|| InvalidMessage::missing(field))?)
}

/// Converts a field that may be absent.
fn optional<W, D>(field: &str, value: Option<W>) -> Result<Option<D>, InvalidMessage>
where
    W: TryInto<D>,
    InvalidMessage: From<W::Error>,
{
    value.map(|present| convert(field, present)).transpose()
}

/// Converts every element of a field.
fn each<W, D>(field: &str, values: Vec<W>) -> Result<Vec<D>, InvalidMessage>
where
    W: TryInto<D>,
    InvalidMessage: From<W::Error>,
{
    values
        .into_iter()
        .enumerate()
        .map(|(place, value)| convert(&format!("{field}[{place}]"), value))
        .collect()
}

/// Converts a field's value, and puts the field's name before a problem of it.
fn convert<W, D>(field: &str, value: W) -> Result<D, InvalidMessage>
where
    W: TryInto<D>,
    InvalidMessage: From<W::Error>,
{
    value
        .try_into()
        .map_err(|error| InvalidMessage::from(error).within(field))
}

/// Reads an enum's number as one of its values.
fn known<E: TryFrom<i32>>(field: &str, number: i32) -> Result<E, InvalidMessage> {
    E::try_from(number).map_err(|_| InvalidMessage::new(field, format!("has the unknown value {number}")))
}
