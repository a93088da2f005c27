//! What was measured: named values, shown as a table for people and as a JSON line for tools.

use std::io::Write as _;

use serde_json::{Map, Value};

/// The values of one measurement, in the order in which they are shown.
#[derive(Clone, Debug)]
pub(crate) struct Figure {
    workload: &'static str,
    variant: String,
    values: Vec<(&'static str, Value)>,
}

impl Figure {
    /// Begins a figure of a workload's variant.
    pub(crate) fn new(workload: &'static str, variant: impl Into<String>) -> Figure {
        Figure {
            workload,
            variant: variant.into(),
            values: Vec::new(),
        }
    }

    /// Adds a value.
    #[must_use]
    pub(crate) fn with(mut self, name: &'static str, value: impl Into<Value>) -> Figure {
        self.values.push((name, value.into()));
        self
    }

    /// Adds a number with three digits behind the point.
    #[must_use]
    pub(crate) fn number(self, name: &'static str, value: f64) -> Figure {
        self.with(name, (value * 1_000.0).round() / 1_000.0)
    }

    /// Returns a value that is a number.
    pub(crate) fn get(&self, name: &str) -> Option<f64> {
        let value = self.values.iter().find(|(known, _)| *known == name);
        value.and_then(|(_, value)| value.as_f64())
    }

    fn json(&self) -> String {
        let mut object = Map::new();
        object.insert("workload".to_owned(), self.workload.into());
        object.insert("variant".to_owned(), self.variant.clone().into());
        for (name, value) in &self.values {
            object.insert((*name).to_owned(), value.clone());
        }
        Value::Object(object).to_string()
    }
}

/// Takes the figure in the middle by one of its values.
///
/// # Panics
/// If there is none.
pub(crate) fn median(mut figures: Vec<Figure>, by: &str) -> Figure {
    let value = |figure: &Figure| figure.get(by).unwrap_or_default();
    figures.sort_by(|one, other| value(one).total_cmp(&value(other)));
    figures.swap_remove(figures.len() / 2)
}

/// Shows figures: for each a line of the table, then for each a line of JSON.
///
/// # Panics
/// If nobody listens any more.
pub(crate) fn print(figures: &[Figure]) {
    let mut out = std::io::stdout().lock();
    for figure in figures {
        let shown = figure.values.iter().map(|(name, value)| format!("{name} {value}"));
        let shown = shown.collect::<Vec<_>>().join("  ");
        writeln!(out, "{:3} {:44} {shown}", figure.workload, figure.variant).expect("somebody listens");
    }
    for figure in figures {
        writeln!(out, "{}", figure.json()).expect("somebody listens");
    }
}
