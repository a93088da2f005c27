//! The descriptor-driven pass: a tree of nodes against a message's descriptor, to proto JSON.
//!
//! Owns the sugar (`10ms` for a duration, `8MiB` for a number of bytes, `50/s` for a rate, `depth_first` for an enum's
//! value) and every error about names and types. It knows no other message by name: a field that is added to the proto needs nothing here.
//! It goes on after a problem, so that all of them are shown at once. What only the job as a whole can tell, such as
//! two ops of one name, is checked later by the domain.

use std::time::Duration;

use common::job::Rate;
use common::units::{ByteSize, parse_duration};
use prost_reflect::{EnumDescriptor, FieldDescriptor, Kind, MessageDescriptor};
use serde_json::{Map, Value as Json, json};

use super::node::{Entry, Node, Scalar, ScalarStyle, Value, same_name};
use super::problem::{Problem, unknown};

/// The message that can be written as `50/s`.
const RATE: &str = "plumbline.v1.RateLimit";

/// Turns a tree into the proto JSON of a message, or says everything that does not fit.
pub(super) fn to_proto_json(root: &Node, message: &MessageDescriptor) -> Result<Json, Vec<Problem>> {
    let mut shaper = Shaper { problems: Vec::new() };
    let json = shaper.message(root, message, "");
    match json {
        Some(json) if shaper.problems.is_empty() => Ok(json),
        Some(_) | None => Err(shaper.problems),
    }
}

struct Shaper {
    problems: Vec<Problem>,
}

impl Shaper {
    /// Notes a problem; the `None` lets a caller return it as the missing value.
    fn problem(&mut self, node: &Node, path: &str, message: impl Into<String>) -> Option<Json> {
        self.problems.push(Problem::at(node.place.clone(), path, message));
        None
    }

    fn message(&mut self, node: &Node, message: &MessageDescriptor, path: &str) -> Option<Json> {
        if message.full_name() == "google.protobuf.Duration" {
            return self.duration(node, path);
        }
        if let (RATE, Value::Scalar(scalar)) = (message.full_name(), &node.value) {
            return self.rate(node, scalar, path);
        }
        let Value::Map(entries) = &node.value else {
            let fields = field_names(message).join(", ");
            let hint = if fields.is_empty() {
                "write {}".to_owned()
            } else {
                format!("write {{}} for every default; its fields: {fields}")
            };
            return self.problem(
                node,
                path,
                format!("expected a mapping, not {}; {hint}", node.describe()),
            );
        };
        let mut json = Map::new();
        let mut given: Vec<(FieldDescriptor, &Entry)> = Vec::new();
        for entry in entries {
            let entry_path = join(path, &entry.key);
            let Some(field) = find_field(message, &entry.key) else {
                let names = field_names(message);
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                self.problems.push(Problem::at(
                    entry.key_place.clone(),
                    entry_path,
                    unknown("field", &entry.key, &names),
                ));
                continue;
            };
            if matches!(&entry.node.value, Value::Scalar(scalar) if scalar.is_null()) {
                continue;
            }
            if let Some(rival) = rival_of(&field, &given) {
                self.problems.push(Problem::at(
                    entry.key_place.clone(),
                    entry_path,
                    format!(
                        "cannot stand beside {:?}, at {}; keep one of them",
                        rival.key, rival.key_place
                    ),
                ));
                continue;
            }
            if let Some(value) = self.field(&entry.node, &field, &join(path, field.name())) {
                json.insert(field.json_name().to_owned(), value);
            }
            given.push((field, entry));
        }
        Some(Json::Object(json))
    }

    fn field(&mut self, node: &Node, field: &FieldDescriptor, path: &str) -> Option<Json> {
        if field.is_map() {
            return self.map(node, field, path);
        }
        if field.is_list() {
            return self.list(node, field, path);
        }
        self.single(node, field, path)
    }

    fn map(&mut self, node: &Node, field: &FieldDescriptor, path: &str) -> Option<Json> {
        let Value::Map(entries) = &node.value else {
            return self.problem(
                node,
                path,
                format!("expected a mapping of names, not {}", node.describe()),
            );
        };
        let Kind::Message(entry_descriptor) = field.kind() else {
            unreachable!("a map field is a list of entry messages");
        };
        let value_field = entry_descriptor.map_entry_value_field();
        let mut json = Map::new();
        for entry in entries {
            if let Some(value) = self.single(&entry.node, &value_field, &join(path, &entry.key)) {
                json.insert(entry.key.clone(), value);
            }
        }
        Some(Json::Object(json))
    }

    fn list(&mut self, node: &Node, field: &FieldDescriptor, path: &str) -> Option<Json> {
        let Value::List(items) = &node.value else {
            let hint = match &node.value {
                Value::Scalar(scalar) if !scalar.text.is_empty() => format!("; write [{}]", scalar.text),
                Value::Scalar(_) | Value::List(_) | Value::Map(_) => String::new(),
            };
            return self.problem(node, path, format!("expected a list, not {}{hint}", node.describe()));
        };
        let values = items
            .iter()
            .enumerate()
            .filter_map(|(index, item)| self.single(item, field, &format!("{path}[{index}]")))
            .collect();
        Some(Json::Array(values))
    }

    fn single(&mut self, node: &Node, field: &FieldDescriptor, path: &str) -> Option<Json> {
        let kind = field.kind();
        if let Kind::Message(message) = &kind {
            return self.message(node, message, path);
        }
        let expected = expectation(field, &kind);
        let Value::Scalar(scalar) = &node.value else {
            return self.problem(node, path, format!("expected {expected}, not {}", node.describe()));
        };
        let value = match &kind {
            Kind::String => text(scalar),
            Kind::Bool => truth(scalar),
            Kind::Double | Kind::Float => float(scalar),
            Kind::Int32 | Kind::Sint32 | Kind::Sfixed32 => {
                return self.integer(node, scalar, path, i32::MIN.into(), i32::MAX.into());
            }
            Kind::Uint32 | Kind::Fixed32 => return self.integer(node, scalar, path, 0, u32::MAX.into()),
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 | Kind::Uint64 | Kind::Fixed64 if is_byte_size(field) => {
                size(scalar)
            }
            Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 => {
                return self.integer(node, scalar, path, i64::MIN.into(), i64::MAX.into());
            }
            Kind::Uint64 | Kind::Fixed64 => return self.integer(node, scalar, path, 0, u64::MAX.into()),
            Kind::Enum(descriptor) => return self.enum_value(node, scalar, descriptor, path),
            Kind::Bytes | Kind::Message(_) => None,
        };
        if value.is_none() {
            return self.problem(node, path, format!("expected {expected}, not {}", node.describe()));
        }
        value
    }

    fn integer(&mut self, node: &Node, scalar: &Scalar, path: &str, least: i128, most: i128) -> Option<Json> {
        let Ok(number) = scalar.text.parse::<i128>() else {
            return self.problem(node, path, format!("expected a whole number, not {}", node.describe()));
        };
        if !(least..=most).contains(&number) {
            return self.problem(node, path, format!("{number} is out of range; {least} to {most} fit"));
        }
        // As text, which proto JSON reads for every width: a JSON number may lose digits beyond 2^53.
        Some(Json::String(number.to_string()))
    }

    fn enum_value(&mut self, node: &Node, scalar: &Scalar, descriptor: &EnumDescriptor, path: &str) -> Option<Json> {
        let values = enum_names(descriptor);
        let found = values
            .iter()
            .find(|(full, short)| *full == scalar.text || *short == scalar.text);
        if let Some((full, _)) = found {
            return Some(Json::String(full.clone()));
        }
        let names: Vec<&str> = values.iter().map(|(_, short)| short.as_str()).collect();
        self.problem(node, path, unknown("value", &scalar.text, &names))
    }

    fn rate(&mut self, node: &Node, scalar: &Scalar, path: &str) -> Option<Json> {
        match scalar.text.parse::<Rate>() {
            Ok(rate) => Some(json!({
                "limit": rate.limit,
                "per": proto_duration(rate.per),
                "unit": format!("UNIT_{}", rate.unit.as_str().to_uppercase()),
            })),
            Err(error) => self.problem(node, path, error.to_string()),
        }
    }

    fn duration(&mut self, node: &Node, path: &str) -> Option<Json> {
        let Value::Scalar(scalar) = &node.value else {
            return self.problem(
                node,
                path,
                format!("expected a duration such as 10ms or 1m30s, not {}", node.describe()),
            );
        };
        match parse_duration(&scalar.text) {
            Ok(duration) => Some(Json::String(proto_duration(duration))),
            Err(error) => self.problem(node, path, error.to_string()),
        }
    }
}

/// Returns the entry that already fills the oneof that a field belongs to.
fn rival_of<'a>(field: &FieldDescriptor, given: &[(FieldDescriptor, &'a Entry)]) -> Option<&'a Entry> {
    let oneof = field.containing_oneof().filter(|oneof| !oneof.is_synthetic());
    given
        .iter()
        .find(|(other, _)| {
            // The same field under its other spelling is a rival too.
            other == field || oneof.is_some() && other.containing_oneof() == oneof
        })
        .map(|(_, entry)| *entry)
}

fn find_field(message: &MessageDescriptor, name: &str) -> Option<FieldDescriptor> {
    message.fields().find(|field| same_name(field.name(), name))
}

fn field_names(message: &MessageDescriptor) -> Vec<String> {
    message.fields().map(|field| field.name().to_owned()).collect()
}

/// Returns the values of an enum, each with its short name: `ORDER_DEPTH_FIRST` is `depth_first`.
fn enum_names(descriptor: &EnumDescriptor) -> Vec<(String, String)> {
    let zero = descriptor.default_value();
    let prefix = zero.name().strip_suffix("UNSPECIFIED").unwrap_or_default().to_owned();
    descriptor
        .values()
        .filter(|value| prefix.is_empty() || value.number() != 0)
        .map(|value| {
            let short = value.name().strip_prefix(&prefix).unwrap_or(value.name());
            (value.name().to_owned(), short.to_lowercase())
        })
        .collect()
}

/// Tells whether a number counts bytes, by its name: `bytes` or `..._bytes`.
fn is_byte_size(field: &FieldDescriptor) -> bool {
    field.name() == "bytes" || field.name().ends_with("_bytes")
}

fn expectation(field: &FieldDescriptor, kind: &Kind) -> &'static str {
    match kind {
        Kind::String => "a text",
        Kind::Bool => "true or false",
        Kind::Double | Kind::Float => "a number",
        Kind::Int64 | Kind::Sint64 | Kind::Sfixed64 | Kind::Uint64 | Kind::Fixed64 if is_byte_size(field) => {
            "a number of bytes such as 8MiB"
        }
        Kind::Int32
        | Kind::Sint32
        | Kind::Sfixed32
        | Kind::Uint32
        | Kind::Fixed32
        | Kind::Int64
        | Kind::Sint64
        | Kind::Sfixed64
        | Kind::Uint64
        | Kind::Fixed64 => "a whole number",
        Kind::Enum(_) => "a word",
        Kind::Bytes | Kind::Message(_) => "a value of another kind",
    }
}

/// A bare `5` or `true` is a fine text; a bare nothing is a slip.
fn text(scalar: &Scalar) -> Option<Json> {
    let missing = scalar.style == ScalarStyle::Plain && scalar.text.is_empty();
    (!missing).then(|| Json::String(scalar.text.clone()))
}

fn truth(scalar: &Scalar) -> Option<Json> {
    match (scalar.style, scalar.text.as_str()) {
        (ScalarStyle::Plain, "true") => Some(Json::Bool(true)),
        (ScalarStyle::Plain, "false") => Some(Json::Bool(false)),
        (ScalarStyle::Plain | ScalarStyle::Quoted, _) => None,
    }
}

fn float(scalar: &Scalar) -> Option<Json> {
    let number: f64 = scalar.text.parse().ok()?;
    serde_json::Number::from_f64(number).map(Json::Number)
}

fn size(scalar: &Scalar) -> Option<Json> {
    let size: ByteSize = scalar.text.parse().ok()?;
    Some(Json::String(size.0.to_string()))
}

/// Prints a duration as proto JSON has it: seconds, with as many digits as it needs.
fn proto_duration(duration: Duration) -> String {
    if duration.subsec_nanos() == 0 {
        return format!("{}s", duration.as_secs());
    }
    let digits = format!("{:09}", duration.subsec_nanos());
    format!("{}.{}s", duration.as_secs(), digits.trim_end_matches('0'))
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        name.to_owned()
    } else {
        format!("{path}.{name}")
    }
}
