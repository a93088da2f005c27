//! What was measured: named values, shown as a table for people and as a JSON line for tools.
//!
//! A figure that was taken several times is the one in the middle, with the lowest and the highest of all beside it.

use std::io::Write as _;

use serde_json::{Map, Value, json};

/// The values of one measurement, in the order in which they are shown.
#[derive(Clone, Debug)]
pub(crate) struct Figure {
    workload: &'static str,
    variant: String,
    values: Vec<(&'static str, Value)>,
    spread: Option<Spread>,
}

/// How far apart the same measurement came out.
#[derive(Clone, Debug)]
struct Spread {
    of: &'static str,
    lowest: f64,
    highest: f64,
    runs: usize,
}

impl Figure {
    /// Begins a figure of a workload's variant.
    pub(crate) fn new(workload: &'static str, variant: impl Into<String>) -> Figure {
        Figure {
            workload,
            variant: variant.into(),
            values: Vec::new(),
            spread: None,
        }
    }

    /// Takes the figure in the middle by one of its values, and how far apart that value was.
    ///
    /// # Panics
    /// If there is none.
    pub(crate) fn of_all(mut figures: Vec<Figure>, by: &'static str) -> Figure {
        let value = |figure: &Figure| figure.get(by).unwrap_or_default();
        figures.sort_by(|one, other| value(one).total_cmp(&value(other)));
        let (lowest, highest) = (value(&figures[0]), value(&figures[figures.len() - 1]));
        let runs = figures.len();
        let mut median = figures.swap_remove(runs / 2);
        median.spread = Some(Spread {
            of: by,
            lowest,
            highest,
            runs,
        });
        median
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

    /// Adds how many times the best peer's rate this figure's is, if there was a peer.
    #[must_use]
    pub(crate) fn against(self, best: Option<&(f64, String)>, by: &str) -> Figure {
        match (best, self.get(by)) {
            (Some((rate, whose)), Some(ours)) if *rate > 0.0 => self
                .number("times_best_peer", ours / rate)
                .with("best_peer", whose.as_str()),
            (Some(_) | None, Some(_) | None) => self,
        }
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
        if let Some(spread) = &self.spread {
            let spread = json!({
                "of": spread.of, "lowest": spread.lowest, "highest": spread.highest, "runs": spread.runs,
            });
            object.insert("spread".to_owned(), spread);
        }
        Value::Object(object).to_string()
    }

    fn shown(&self) -> String {
        let values = self.values.iter().map(|(name, value)| match &self.spread {
            Some(Spread {
                of,
                lowest,
                highest,
                runs,
            }) if of == name => format!("{name} {value} ({lowest} to {highest}, {runs} runs)"),
            Some(_) | None => format!("{name} {value}"),
        });
        values.collect::<Vec<_>>().join("  ")
    }
}

/// Returns the number in the middle, the upper one of two.
pub(crate) fn middle(mut numbers: Vec<f64>) -> Option<f64> {
    numbers.sort_by(f64::total_cmp);
    numbers.get(numbers.len() / 2).copied()
}

/// Shows figures: for each a line of the table, then for each a line of JSON.
///
/// # Panics
/// If nobody listens any more.
pub(crate) fn print(figures: &[Figure]) {
    let mut out = std::io::stdout().lock();
    for figure in figures {
        let shown = figure.shown();
        writeln!(out, "{:3} {:44} {shown}", figure.workload, figure.variant).expect("somebody listens");
    }
    for figure in figures {
        writeln!(out, "{}", figure.json()).expect("somebody listens");
    }
}
