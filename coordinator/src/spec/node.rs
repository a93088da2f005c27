//! The tree that a spec is read into: values that know where they stand.
//!
//! Owns the nodes, their places and the walk along a path such as `ops[1].select`. It knows nothing of YAML (that is
//! `yaml`) and nothing of what a job looks like (that is `shape`). Scalars stay text until the shape says what they
//! are, so that `literal: 1.50` is not rounded on its way to a string.

use std::fmt;

/// A value and where it stands.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Node {
    /// Where it begins.
    pub(super) place: Place,
    /// What it is.
    pub(super) value: Value,
}

/// What a node is.
#[derive(Clone, Debug, PartialEq)]
pub(super) enum Value {
    /// A text, a number, a truth value or nothing: its shape will tell.
    Scalar(Scalar),
    /// Values in order.
    List(Vec<Node>),
    /// Named values in order, each name once.
    Map(Vec<Entry>),
}

/// A scalar as it was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Scalar {
    /// Its text, quotes and escapes resolved.
    pub(super) text: String,
    /// Whether it stood in quotes.
    pub(super) style: ScalarStyle,
}

/// Whether a scalar stood in quotes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum ScalarStyle {
    /// Bare: `null` is nothing, `true` is a truth value.
    Plain,
    /// In quotes or a block: always a text.
    Quoted,
}

/// A name and its value.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Entry {
    /// The name.
    pub(super) key: String,
    /// Where the name begins.
    pub(super) key_place: Place,
    /// The value.
    pub(super) node: Node,
}

/// Where something was written.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    /// In the file; line and column count from 1, columns in characters.
    File {
        /// The line.
        line: usize,
        /// The column.
        column: usize,
    },
    /// In an override on the command line.
    Override(String),
}

/// One step of a path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Step {
    /// Into a map, or into a list of named entries.
    Name(String),
    /// Into a list.
    Index(usize),
}

impl Node {
    /// Tells in words what the value is, for an error that expected something else.
    pub(super) fn describe(&self) -> String {
        match &self.value {
            Value::Scalar(scalar) if scalar.style == ScalarStyle::Plain && scalar.text.is_empty() => {
                "nothing".to_owned()
            }
            Value::Scalar(scalar) => format!("{:?}", shorten(&scalar.text)),
            Value::List(_) => "a list".to_owned(),
            Value::Map(_) => "a mapping".to_owned(),
        }
    }

    /// Returns the node that a path leads to, or the last one on the way that exists.
    pub(super) fn nearest(&self, steps: &[Step]) -> &Place {
        let mut node = self;
        let mut place = &self.place;
        for step in steps {
            let next = match (&node.value, step) {
                (Value::Map(entries), Step::Name(name)) => entries
                    .iter()
                    .find(|entry| same_name(&entry.key, name))
                    .map(|entry| (&entry.node, entry_place(entry))),
                (Value::List(items), Step::Index(index)) => items.get(*index).map(|item| (item, &item.place)),
                (Value::Map(_) | Value::List(_) | Value::Scalar(_), _) => None,
            };
            let Some((next_node, next_place)) = next else {
                return place;
            };
            node = next_node;
            place = next_place;
        }
        place
    }

    /// Returns the text of the entry of this name, if the node is a map that has it.
    pub(super) fn text_of(&self, name: &str) -> Option<&str> {
        let Value::Map(entries) = &self.value else {
            return None;
        };
        entries
            .iter()
            .find(|entry| entry.key == name)
            .and_then(|entry| match &entry.node.value {
                Value::Scalar(scalar) => Some(scalar.text.as_str()),
                Value::List(_) | Value::Map(_) => None,
            })
    }
}

impl Scalar {
    /// Tells whether it stands for no value: a bare `null` or `~`.
    pub(super) fn is_null(&self) -> bool {
        self.style == ScalarStyle::Plain && matches!(self.text.as_str(), "null" | "~")
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Place::File { line, column } => write!(f, "{line}:{column}"),
            Place::Override(text) => write!(f, "--set {text}"),
        }
    }
}

/// Returns where a problem of an entry's value is best shown: at a scalar itself, at the name of anything larger.
fn entry_place(entry: &Entry) -> &Place {
    match &entry.node.value {
        Value::Scalar(_) => &entry.node.place,
        Value::List(_) | Value::Map(_) => &entry.key_place,
    }
}

/// Reads a path such as `ops[1].select.columns` or `ops.transform_1.delay`.
pub(super) fn parse_path(path: &str) -> Vec<Step> {
    let mut steps = Vec::new();
    for part in path.split('.') {
        let mut pieces = part.split('[');
        let name = pieces.next().unwrap_or_default();
        if !name.is_empty() {
            steps.push(Step::Name(name.to_owned()));
        }
        for piece in pieces {
            let inner = piece.strip_suffix(']').unwrap_or(piece);
            steps.push(match inner.parse() {
                Ok(index) => Step::Index(index),
                Err(_) => Step::Name(inner.trim_matches('"').to_owned()),
            });
        }
    }
    steps
}

/// Tells whether two spellings name one field: `max_concurrent` in people's specs is `maxConcurrent` in canonical JSON.
pub(super) fn same_name(left: &str, right: &str) -> bool {
    left == right || snake_case(left) == snake_case(right)
}

fn snake_case(name: &str) -> String {
    let mut snake = String::with_capacity(name.len() + 4);
    for letter in name.chars() {
        if letter.is_ascii_uppercase() {
            snake.push('_');
        }
        snake.push(letter.to_ascii_lowercase());
    }
    snake
}

/// Cuts a text that would make an error hard to read.
fn shorten(text: &str) -> String {
    const MOST: usize = 60;
    if text.chars().count() <= MOST {
        return text.to_owned();
    }
    text.chars().take(MOST).chain("...".chars()).collect()
}
