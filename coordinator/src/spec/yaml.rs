//! YAML text (and so JSON) to a tree of nodes with lines and columns.
//!
//! Owns what of YAML a spec may use: one document, mappings with scalar keys, lists, scalars, anchors. Tags and merge
//! keys are refused rather than half understood. Aliases are copied, within a bound on the size of the whole tree, so
//! that a small file cannot grow into a large one.

use std::borrow::Cow;
use std::collections::BTreeMap;

use saphyr_parser::{Event, Marker, Parser, ScalarStyle as YamlStyle, Span, Tag};

use super::node::{Entry, Node, Place, Scalar, ScalarStyle, Value};
use super::problem::Problem;

/// The most nodes of a tree, aliases counted as often as they are used.
const MAX_NODES: usize = 200_000;
/// The deepest nesting.
const MAX_DEPTH: usize = 64;

/// Reads the one document of a text.
pub(super) fn parse(text: &str) -> Result<Node, Problem> {
    let mut builder = Builder::default();
    let mut parser = Parser::new_from_str(text);
    while let Some(next) = parser.next_event() {
        let (event, span) = next.map_err(|error| Problem::at(place(error.marker()), "", readable(error.info())))?;
        builder.on_event(event, span)?;
    }
    builder.finish()
}

/// A list or a mapping that is still open.
struct Open {
    node: Node,
    anchor: usize,
    /// The name that waits for its value.
    key: Option<(String, Place)>,
}

#[derive(Default)]
struct Builder {
    stack: Vec<Open>,
    root: Option<Node>,
    anchors: BTreeMap<usize, Node>,
    nodes: usize,
    documents: usize,
}

impl Builder {
    fn on_event(&mut self, event: Event<'_>, span: Span) -> Result<(), Problem> {
        let place = place(&span.start);
        match event {
            Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => Ok(()),
            Event::DocumentStart(_) => {
                self.documents += 1;
                if self.documents > 1 {
                    return Err(Problem::at(place, "", "a spec is one document; remove the second ---"));
                }
                Ok(())
            }
            Event::Alias(anchor) => {
                let Some(mut node) = self.anchors.get(&anchor).cloned() else {
                    return Err(Problem::at(place, "", "this alias stands inside what it names"));
                };
                node.place = place;
                self.count(count_nodes(&node), &node.place)?;
                self.complete(node, 0)
            }
            Event::Scalar(text, style, anchor, tag) => {
                refuse_tag(tag.as_ref(), &place)?;
                self.count(1, &place)?;
                let style = match style {
                    YamlStyle::Plain => ScalarStyle::Plain,
                    YamlStyle::SingleQuoted | YamlStyle::DoubleQuoted | YamlStyle::Literal | YamlStyle::Folded => {
                        ScalarStyle::Quoted
                    }
                };
                let scalar = Scalar {
                    text: text.into_owned(),
                    style,
                };
                self.complete(
                    Node {
                        place,
                        value: Value::Scalar(scalar),
                    },
                    anchor,
                )
            }
            Event::SequenceStart(anchor, tag) => self.open(Value::List(Vec::new()), anchor, tag.as_ref(), place),
            Event::MappingStart(anchor, tag) => self.open(Value::Map(Vec::new()), anchor, tag.as_ref(), place),
            Event::SequenceEnd | Event::MappingEnd => {
                let closed = self.stack.pop().expect("the parser closes only what it opened");
                self.complete(closed.node, closed.anchor)
            }
        }
    }

    fn open(&mut self, value: Value, anchor: usize, tag: Option<&Cow<'_, Tag>>, place: Place) -> Result<(), Problem> {
        refuse_tag(tag, &place)?;
        self.count(1, &place)?;
        if self.stack.len() >= MAX_DEPTH {
            return Err(Problem::at(
                place,
                "",
                format!("is nested deeper than {MAX_DEPTH} levels"),
            ));
        }
        self.stack.push(Open {
            node: Node { place, value },
            anchor,
            key: None,
        });
        Ok(())
    }

    /// Puts a finished node where it belongs: into the open list or mapping, or at the root.
    fn complete(&mut self, node: Node, anchor: usize) -> Result<(), Problem> {
        if anchor != 0 {
            self.anchors.insert(anchor, node.clone());
        }
        let Some(open) = self.stack.last_mut() else {
            self.root = Some(node);
            return Ok(());
        };
        match &mut open.node.value {
            Value::List(items) => items.push(node),
            Value::Map(entries) => match open.key.take() {
                None => open.key = Some(read_key(node, entries)?),
                Some((key, key_place)) => entries.push(Entry { key, key_place, node }),
            },
            Value::Scalar(_) => unreachable!("only lists and mappings are opened"),
        }
        Ok(())
    }

    fn count(&mut self, nodes: usize, place: &Place) -> Result<(), Problem> {
        self.nodes += nodes;
        if self.nodes > MAX_NODES {
            return Err(Problem::at(
                place.clone(),
                "",
                format!("has more than {MAX_NODES} values, aliases counted as often as they are used"),
            ));
        }
        Ok(())
    }

    fn finish(self) -> Result<Node, Problem> {
        let start = Place::File { line: 1, column: 1 };
        let root = self
            .root
            .ok_or_else(|| Problem::at(start, "", "is empty; a spec needs a name, a source and ops"))?;
        Ok(root)
    }
}

fn read_key(node: Node, entries: &[Entry]) -> Result<(String, Place), Problem> {
    let Value::Scalar(scalar) = node.value else {
        return Err(Problem::at(
            node.place,
            "",
            "a name must be a text, not a list or a mapping",
        ));
    };
    if scalar.text == "<<" && scalar.style == ScalarStyle::Plain {
        return Err(Problem::at(
            node.place,
            "",
            "merge keys are not supported; spell the fields out",
        ));
    }
    if let Some(first) = entries.iter().find(|entry| entry.key == scalar.text) {
        let message = format!("{:?} is given twice, first at {}", scalar.text, first.key_place);
        return Err(Problem::at(node.place, "", message));
    }
    Ok((scalar.text, node.place))
}

fn refuse_tag(tag: Option<&Cow<'_, Tag>>, place: &Place) -> Result<(), Problem> {
    match tag {
        None => Ok(()),
        Some(tag) => Err(Problem::at(
            place.clone(),
            "",
            format!("tags such as {}{} are not supported; remove it", tag.handle, tag.suffix),
        )),
    }
}

fn count_nodes(node: &Node) -> usize {
    1 + match &node.value {
        Value::Scalar(_) => 0,
        Value::List(items) => items.iter().map(count_nodes).sum(),
        Value::Map(entries) => entries.iter().map(|entry| count_nodes(&entry.node)).sum(),
    }
}

fn place(marker: &Marker) -> Place {
    Place::File {
        line: marker.line(),
        column: marker.col() + 1,
    }
}

/// Turns the parser's words into an error of ours: lowercase, without a full stop.
fn readable(info: &str) -> String {
    let trimmed = info.trim_end_matches('.');
    format!("is no valid YAML: {trimmed}")
}
