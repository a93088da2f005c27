//! The columns of a select: `old`, or `old as new`.
//!
//! A name that could be misread is written in double quotes, those inside doubled: `"sold as seen" as state`. So every
//! name that a CSV header can hold has a spelling, and what is printed reads back as the same columns.

use common::job::SelectedColumn;

use super::problems::Problems;

const AS: &str = " as ";

pub(super) fn columns_from_wire(problems: &mut Problems, op: &str, columns: &[String]) -> Vec<SelectedColumn> {
    let mut selected = Vec::with_capacity(columns.len());
    for (place, text) in columns.iter().enumerate() {
        match parse(text) {
            Some(column) => selected.push(column),
            None => problems.add(
                format!("{op}.select.columns[{place}]"),
                format!("{text:?} is no column: write old, or old as new; names may stand in double quotes"),
            ),
        }
    }
    if selected.is_empty() && !columns.is_empty() {
        // Keeps the job's own check from saying that there is no column at all.
        selected.push(SelectedColumn {
            source: String::new(),
            name: String::new(),
        });
    }
    selected
}

pub(super) fn column_to_wire(column: &SelectedColumn) -> String {
    let source = quoted_if_needed(&column.source);
    if column.name == column.source {
        return source;
    }
    format!("{source}{AS}{}", quoted_if_needed(&column.name))
}

fn parse(text: &str) -> Option<SelectedColumn> {
    let (source, rest) = take_name(text)?;
    let name = match rest.strip_prefix(AS) {
        Some(after) => {
            let (name, end) = take_name(after)?;
            if !end.is_empty() {
                return None;
            }
            name
        }
        None if rest.is_empty() => source.clone(),
        None => return None,
    };
    Some(SelectedColumn { source, name })
}

/// Takes a name from the beginning of a text, and returns it with what follows it.
fn take_name(text: &str) -> Option<(String, &str)> {
    let Some(mut rest) = text.strip_prefix('"') else {
        let end = text.find(AS).unwrap_or(text.len());
        let (name, rest) = text.split_at(end);
        return (!name.is_empty()).then(|| (name.to_owned(), rest));
    };
    let mut name = String::new();
    loop {
        let (before, after) = rest.split_once('"')?;
        name.push_str(before);
        match after.strip_prefix('"') {
            Some(more) => {
                name.push('"');
                rest = more;
            }
            None => return Some((name, after)),
        }
    }
}

fn quoted_if_needed(name: &str) -> String {
    // A name that ends in ` as` would swallow what follows it.
    let is_plain = !name.is_empty() && !name.starts_with('"') && !format!("{name} ").contains(AS);
    if is_plain {
        return name.to_owned();
    }
    format!("\"{}\"", name.replace('"', "\"\""))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn column(source: &str, name: &str) -> SelectedColumn {
        SelectedColumn {
            source: source.to_owned(),
            name: name.to_owned(),
        }
    }

    #[test]
    fn a_column_is_kept_or_renamed() {
        assert_eq!(parse("name"), Some(column("name", "name")));
        assert_eq!(parse("type 1 as first"), Some(column("type 1", "first")));
        assert_eq!(parse("alias"), Some(column("alias", "alias")));
        for wrong in ["", "a as ", " as b", "a as b as c", "\"a", "\"a\"b"] {
            assert_eq!(parse(wrong), None, "{wrong}");
        }
    }

    #[test]
    fn names_that_could_be_misread_are_quoted_and_read_back() {
        for (source, name) in [
            ("sold as seen", "state"),
            ("a", "b as c"),
            ("\"x\"", "y"),
            ("", "empty"),
            ("x as", "as"),
            (" as ", " as "),
        ] {
            let column = column(source, name);
            assert_eq!(parse(&column_to_wire(&column)), Some(column));
        }
        assert_eq!(
            column_to_wire(&column("sold as seen", "state")),
            "\"sold as seen\" as state"
        );
    }
}
