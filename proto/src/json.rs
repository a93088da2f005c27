//! The spec as JSON, by its descriptors: the proto JSON mapping with the field names of the proto files.
//!
//! Reading is in two steps. First the value is walked along the descriptors, so that every unknown field, second choice
//! of a oneof and wrong value is named by its path, all at once; then the whole is read. Sugar (`1s`, `8MiB`,
//! `depth_first`) is not known here: a loader that has it rewrites the value before, along [`job_spec_descriptor`].

use std::collections::BTreeMap;
use std::sync::LazyLock;

use common::job::{FieldProblem, InvalidJob, Job};
use prost::Message as _;
use prost_reflect::{
    DescriptorPool, DeserializeOptions, DynamicMessage, FieldDescriptor, Kind, MessageDescriptor, SerializeOptions,
};
use serde_json::{Map, Value};

use crate::v1;

static POOL: LazyLock<DescriptorPool> = LazyLock::new(|| {
    DescriptorPool::decode(crate::FILE_DESCRIPTOR_SET).expect("the descriptors were made from the proto files")
});

/// Returns the descriptor of `JobSpec`, for loaders that know sugar and for help texts.
pub fn job_spec_descriptor() -> MessageDescriptor {
    POOL.get_message_by_name("plumbline.v1.JobSpec")
        .expect("the spec is one of the proto files")
}

/// Reads a spec from JSON. Field names are those of the proto files or in camel case; 64-bit numbers may be strings.
pub fn job_spec_from_json(value: &Value) -> Result<v1::JobSpec, InvalidJob> {
    let descriptor = job_spec_descriptor();
    let mut problems = Vec::new();
    walk_message(&mut problems, "", &descriptor, value);
    if !problems.is_empty() {
        return Err(InvalidJob { problems });
    }
    let whole = |error: &dyn std::fmt::Display| InvalidJob::from(FieldProblem::new("job", error.to_string()));
    let message = read(descriptor, value).map_err(|error| whole(&error))?;
    message.transcode_to().map_err(|error| whole(&error))
}

/// Prints a spec as JSON: fields in the order of the proto files, no field that has no value.
pub fn job_spec_to_json(spec: &v1::JobSpec) -> String {
    let mut text = Vec::new();
    let mut serializer = serde_json::Serializer::pretty(&mut text);
    dynamic(spec)
        .serialize_with_options(&mut serializer, &print_options())
        .expect("a spec has no value that JSON cannot hold");
    String::from_utf8(text).expect("JSON is UTF-8")
}

/// Returns a spec as a JSON value, with the same fields as [`job_spec_to_json`] prints.
pub fn job_spec_to_json_value(spec: &v1::JobSpec) -> Value {
    dynamic(spec)
        .serialize_with_options(serde_json::value::Serializer, &print_options())
        .expect("a spec has no value that JSON cannot hold")
}

/// Reads a job from a spec as JSON, checked.
pub fn job_from_json(value: &Value) -> Result<Job, InvalidJob> {
    Job::try_from(job_spec_from_json(value)?)
}

/// Prints a job as the JSON of its spec, with every default filled in.
pub fn job_to_json(job: &Job) -> String {
    job_spec_to_json(&v1::JobSpec::from(job))
}

/// Returns a job as the JSON value of its spec, with every default filled in.
pub fn job_to_json_value(job: &Job) -> Value {
    job_spec_to_json_value(&v1::JobSpec::from(job))
}

fn print_options() -> SerializeOptions {
    SerializeOptions::new()
        .use_proto_field_name(true)
        .skip_default_fields(true)
        .stringify_64_bit_integers(true)
}

fn dynamic(spec: &v1::JobSpec) -> DynamicMessage {
    DynamicMessage::decode(job_spec_descriptor(), spec.encode_to_vec().as_slice())
        .expect("the generated types and the descriptors come from the same files")
}

fn read(descriptor: MessageDescriptor, value: &Value) -> Result<DynamicMessage, serde_json::Error> {
    DynamicMessage::deserialize_with_options(descriptor, value, &DeserializeOptions::new())
}

/// Notes everything that is wrong with a message; `path` is empty for the spec itself.
fn walk_message(problems: &mut Vec<FieldProblem>, path: &str, descriptor: &MessageDescriptor, value: &Value) {
    let Value::Object(fields) = value else {
        let shown = if path.is_empty() { "job" } else { path };
        problems.push(FieldProblem::new(
            shown,
            format!("must hold fields; those there are: {}", names_of(descriptor)),
        ));
        return;
    };
    check_oneofs(problems, path, descriptor, fields);
    let mut seen: BTreeMap<u32, &str> = BTreeMap::new();
    for (name, value) in fields {
        let field_path = join(path, name);
        let Some(field) = field_named(descriptor, name) else {
            problems.push(FieldProblem::new(
                field_path,
                format!("is no field; those there are: {}", names_of(descriptor)),
            ));
            continue;
        };
        if let Some(earlier) = seen.insert(field.number(), name) {
            problems.push(FieldProblem::new(field_path, format!("was given as {earlier} already")));
        } else if !value.is_null() {
            walk_field(problems, &field_path, &field, value);
        }
    }
}

fn walk_field(problems: &mut Vec<FieldProblem>, path: &str, field: &FieldDescriptor, value: &Value) {
    if field.is_map() {
        let Value::Object(entries) = value else {
            problems.push(FieldProblem::new(path, "must hold names and values"));
            return;
        };
        let entry = field.kind().as_message().map(|entry| entry.map_entry_value_field());
        for (key, value) in entries {
            let entry_path = format!("{path}.{key}");
            match entry.as_ref().and_then(inner_message) {
                Some(inner) => walk_message(problems, &entry_path, &inner, value),
                None => try_alone(
                    problems,
                    &entry_path,
                    field,
                    Value::from_iter([(key.clone(), value.clone())]),
                ),
            }
        }
    } else if field.is_list() {
        let Value::Array(elements) = value else {
            problems.push(FieldProblem::new(path, "must be a list"));
            return;
        };
        for (place, value) in elements.iter().enumerate() {
            let element_path = format!("{path}[{place}]");
            match inner_message(field) {
                Some(inner) => walk_message(problems, &element_path, &inner, value),
                None => try_alone(problems, &element_path, field, Value::from(vec![value.clone()])),
            }
        }
    } else {
        match inner_message(field) {
            Some(inner) => walk_message(problems, path, &inner, value),
            None => try_alone(problems, path, field, value.clone()),
        }
    }
}

/// Reads a message with nothing but this field, so that the error can only be about it.
fn try_alone(problems: &mut Vec<FieldProblem>, path: &str, field: &FieldDescriptor, value: Value) {
    let alone = Value::from_iter([(field.name().to_owned(), value)]);
    let Err(error) = read(field.parent_message().clone(), &alone) else {
        return;
    };
    let problem = match field.kind() {
        Kind::Enum(values) => {
            let names: Vec<String> = values.values().map(|value| value.name().to_owned()).collect();
            format!("is none of {}", names.get(1..).unwrap_or_default().join(", "))
        }
        Kind::Message(message) if message.full_name() == "google.protobuf.Duration" => {
            "is no duration; write seconds, as in \"0.5s\"".to_owned()
        }
        Kind::Message(_)
        | Kind::Double
        | Kind::Float
        | Kind::Int32
        | Kind::Int64
        | Kind::Uint32
        | Kind::Uint64
        | Kind::Sint32
        | Kind::Sint64
        | Kind::Fixed32
        | Kind::Fixed64
        | Kind::Sfixed32
        | Kind::Sfixed64
        | Kind::Bool
        | Kind::String
        | Kind::Bytes => error.to_string(),
    };
    problems.push(FieldProblem::new(path, problem));
}

fn check_oneofs(
    problems: &mut Vec<FieldProblem>,
    path: &str,
    descriptor: &MessageDescriptor,
    fields: &Map<String, Value>,
) {
    let mut chosen: BTreeMap<String, Vec<&str>> = BTreeMap::new();
    for (name, _) in fields.iter().filter(|(_, value)| !value.is_null()) {
        let oneof = field_named(descriptor, name).and_then(|field| field.containing_oneof());
        if let Some(oneof) = oneof {
            chosen.entry(oneof.full_name().to_owned()).or_default().push(name);
        }
    }
    for names in chosen.values().filter(|names| names.len() > 1) {
        let shown = if path.is_empty() { "job" } else { path };
        problems.push(FieldProblem::new(
            shown,
            format!("names {}; only one of them may be there", names.join(" and ")),
        ));
    }
}

/// Returns the message that a field holds, unless it has a JSON form of its own.
fn inner_message(field: &FieldDescriptor) -> Option<MessageDescriptor> {
    let kind = field.kind();
    kind.as_message()
        .filter(|message| !message.full_name().starts_with("google.protobuf."))
        .cloned()
}

fn field_named(descriptor: &MessageDescriptor, name: &str) -> Option<FieldDescriptor> {
    descriptor
        .get_field_by_name(name)
        .or_else(|| descriptor.get_field_by_json_name(name))
}

fn names_of(descriptor: &MessageDescriptor) -> String {
    let names: Vec<String> = descriptor.fields().map(|field| field.name().to_owned()).collect();
    if names.is_empty() {
        return "none".to_owned();
    }
    names.join(", ")
}

fn join(path: &str, name: &str) -> String {
    if path.is_empty() {
        return name.to_owned();
    }
    format!("{path}.{name}")
}

#[cfg(test)]
mod tests;
