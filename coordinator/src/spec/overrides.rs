//! `--set KEY=VALUE`: changing a spec's tree before it is read as a job.
//!
//! A key is a dotted path; a step into a list is an index or the `name` of one of its entries, as in
//! `ops.transform_1.delay.per_row=1ms`. What is missing on the way is made; the value `null` takes a field out.
//! An override wins over the fields it excludes: setting `batch.whole_input` takes `batch.rows` out.

use super::node::{Entry, Node, Place, Scalar, ScalarStyle, Step, Value, parse_path, same_name};
use super::problem::{Problem, unknown};
use super::yaml;

/// Fields that cannot stand together and are no oneof in the schema: setting one takes the others out.
const EXCLUSIVE: [(&str, &str, &[&str]); 3] = [
    ("batch", "whole_input", &["rows", "bytes"]),
    ("batch", "rows", &["whole_input"]),
    ("batch", "bytes", &["whole_input"]),
];

/// Applies one `KEY=VALUE` to the tree.
pub(super) fn apply(root: &mut Node, text: &str) -> Result<(), Problem> {
    let place = Place::Override(text.to_owned());
    let Some((key, value)) = text.split_once('=') else {
        return Err(Problem::at(
            place,
            "",
            "write KEY=VALUE, as in schedule.order=breadth_first",
        ));
    };
    let steps = parse_path(key.trim());
    if steps.is_empty() {
        return Err(Problem::at(
            place,
            "",
            "name a field before the =, as in schedule.order=breadth_first",
        ));
    }
    let value = read_value(value, &place);
    if !removes(&value) {
        drop_excluded(root, &steps);
    }
    set(root, &steps, value, &place)
}

fn removes(value: &Node) -> bool {
    matches!(&value.value, Value::Scalar(scalar) if scalar.is_null())
}

/// Reads the value as YAML where it plainly is a list, a mapping or quoted, and as a bare scalar otherwise.
fn read_value(text: &str, place: &Place) -> Node {
    let structured = text.trim_start().starts_with(['[', '{', '"', '\'']);
    let parsed = structured.then(|| yaml::parse(text).ok()).flatten();
    let mut node = parsed.unwrap_or_else(|| Node {
        place: place.clone(),
        value: Value::Scalar(Scalar {
            text: text.to_owned(),
            style: ScalarStyle::Plain,
        }),
    });
    replace_places(&mut node, place);
    node
}

/// A value of the command line has no line and column.
fn replace_places(node: &mut Node, place: &Place) {
    node.place = place.clone();
    match &mut node.value {
        Value::Scalar(_) => {}
        Value::List(items) => items.iter_mut().for_each(|item| replace_places(item, place)),
        Value::Map(entries) => {
            for entry in entries {
                entry.key_place = place.clone();
                replace_places(&mut entry.node, place);
            }
        }
    }
}

fn drop_excluded(root: &mut Node, steps: &[Step]) {
    let [Step::Name(parent), Step::Name(field)] = steps else {
        return;
    };
    let Some((_, _, excluded)) = EXCLUSIVE
        .iter()
        .find(|(of, name, _)| same_name(of, parent) && same_name(name, field))
    else {
        return;
    };
    let Value::Map(entries) = &mut root.value else {
        return;
    };
    let parent_node = entries.iter_mut().find(|entry| same_name(&entry.key, parent));
    if let Some(Value::Map(siblings)) = parent_node.map(|entry| &mut entry.node.value) {
        siblings.retain(|entry| !excluded.iter().any(|name| same_name(name, &entry.key)));
    }
}

fn set(node: &mut Node, steps: &[Step], value: Node, place: &Place) -> Result<(), Problem> {
    let [step, rest @ ..] = steps else {
        *node = value;
        return Ok(());
    };
    if let Value::Scalar(_) = &node.value {
        // A path that goes on through a scalar replaces it: the shape will say whether a mapping may stand there.
        node.value = Value::Map(Vec::new());
        node.place = place.clone();
    }
    match (&mut node.value, step) {
        (Value::Map(entries), Step::Name(name)) => set_entry(entries, name, rest, value, place),
        (Value::Map(entries), Step::Index(index)) => set_entry(entries, &index.to_string(), rest, value, place),
        (Value::List(items), step) => {
            let index = find_item(items, step, place)?;
            if rest.is_empty() && removes(&value) {
                items.remove(index);
                return Ok(());
            }
            set(&mut items[index], rest, value, place)
        }
        (Value::Scalar(_), _) => unreachable!("scalars were replaced above"),
    }
}

fn set_entry(entries: &mut Vec<Entry>, name: &str, rest: &[Step], value: Node, place: &Place) -> Result<(), Problem> {
    let found = entries.iter().position(|entry| same_name(&entry.key, name));
    if rest.is_empty() && removes(&value) {
        if let Some(index) = found {
            entries.remove(index);
        }
        return Ok(());
    }
    let index = found.unwrap_or_else(|| {
        entries.push(Entry {
            key: name.to_owned(),
            key_place: place.clone(),
            node: Node {
                place: place.clone(),
                value: Value::Map(Vec::new()),
            },
        });
        entries.len() - 1
    });
    set(&mut entries[index].node, rest, value, place)
}

/// Finds an item of a list by its index, or by its `name`.
fn find_item(items: &[Node], step: &Step, place: &Place) -> Result<usize, Problem> {
    let wanted = match step {
        Step::Index(index) => Some(*index),
        Step::Name(name) => name
            .parse()
            .ok()
            .or_else(|| items.iter().position(|item| item.text_of("name") == Some(name))),
    };
    if let Some(index) = wanted.filter(|index| *index < items.len()) {
        return Ok(index);
    }
    let names: Vec<&str> = items.iter().filter_map(|item| item.text_of("name")).collect();
    let message = match step {
        Step::Name(name) if name.parse::<usize>().is_err() => unknown("name", name, &names),
        Step::Name(_) | Step::Index(_) => format!("the list has {} entries, counted from 0", items.len()),
    };
    Err(Problem::at(place.clone(), "", message))
}
