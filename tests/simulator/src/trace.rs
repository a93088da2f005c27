//! What happened, as a number that is the same for the same history, and as lines for people where they are wanted.

use common::time::Time;

use crate::random::mix;

/// The trace of a history.
#[derive(Debug)]
pub struct Trace {
    hash: u64,
    lines: Lines,
}

/// Whether lines are kept.
#[derive(Debug)]
enum Lines {
    Dropped,
    Kept(Vec<String>),
}

/// Whether a history is told in lines.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Telling {
    /// Only its hash is kept: fast.
    Hash,
    /// Every line is kept.
    Lines,
}

impl Trace {
    /// Makes an empty trace.
    pub fn new(telling: Telling) -> Trace {
        Trace {
            hash: 0,
            lines: match telling {
                Telling::Hash => Lines::Dropped,
                Telling::Lines => Lines::Kept(Vec::new()),
            },
        }
    }

    /// Notes that something happened: numbers that tell it from everything else, and a line for people.
    pub fn note(&mut self, now: Time, words: &[u64], line: impl FnOnce() -> String) {
        self.hash = mix(&[self.hash, now.0, mix(words)]);
        if let Lines::Kept(lines) = &mut self.lines {
            let seconds = now.0 as f64 / 1e9;
            lines.push(format!("{seconds:9.4}  {}", line()));
        }
    }

    /// Returns the number that stands for all of it.
    pub fn hash(&self) -> u64 {
        self.hash
    }

    /// Returns the lines that were kept.
    pub fn into_lines(self) -> Vec<String> {
        match self.lines {
            Lines::Dropped => Vec::new(),
            Lines::Kept(lines) => lines,
        }
    }
}
