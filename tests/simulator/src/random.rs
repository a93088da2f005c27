//! Chance, drawn from a seed: the only source of it in a history.
//!
//! Two kinds: a [`Random`] is a sequence, for what happens in an order; [`mix`] is a function of names, so that the
//! fate of an attempt stays the same when faults around it are taken away (which makes shrinking work).

use std::time::Duration;

/// A sequence of numbers that looks random (SplitMix64: Steele, Lea, Flood, "Fast splittable pseudorandom number
/// generators", 2014).
#[derive(Clone, Debug)]
pub struct Random {
    state: u64,
}

impl Random {
    /// Makes a sequence from a seed and a name for what it is used for.
    pub fn new(seed: u64, stream: u64) -> Random {
        Random {
            state: mix(&[seed, stream]),
        }
    }

    /// Draws any number.
    pub fn draw(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        finalize(self.state)
    }

    /// Draws a number from 0 up to, but not including, `end`; 0 if there is none.
    pub fn below(&mut self, end: u64) -> u64 {
        if end == 0 { 0 } else { self.draw() % end }
    }

    /// Draws a number from `low` to `high`, both included.
    pub fn between(&mut self, low: u64, high: u64) -> u64 {
        low + self.below(high.saturating_sub(low) + 1)
    }

    /// Draws a duration from nothing to `longest`.
    pub fn up_to(&mut self, longest: Duration) -> Duration {
        let nanos = u64::try_from(longest.as_nanos()).unwrap_or(u64::MAX - 1);
        Duration::from_nanos(self.between(0, nanos))
    }

    /// Decides: so many times in a thousand, yes.
    pub fn happens(&mut self, permille: u64) -> Draw {
        Draw::of(self.draw(), permille)
    }

    /// Draws one of several values.
    ///
    /// # Panics
    /// If there are none.
    pub fn one_of<T: Clone>(&mut self, values: &[T]) -> T {
        values[self.below(values.len() as u64) as usize].clone()
    }
}

/// What chance decided.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Draw {
    /// It happens.
    Yes,
    /// It does not.
    No,
}

impl Draw {
    /// Turns a drawn number into a decision with a chance in a thousand.
    pub fn of(drawn: u64, permille: u64) -> Draw {
        if drawn % 1_000 < permille { Draw::Yes } else { Draw::No }
    }
}

/// Makes one number of several, so that it is different for different ones.
pub fn mix(words: &[u64]) -> u64 {
    words.iter().fold(0x51a1_71a0, |state, word| {
        finalize(state ^ finalize(word.wrapping_add(0x9e37_79b9_7f4a_7c15)))
    })
}

fn finalize(word: u64) -> u64 {
    let mut z = word;
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    z ^ (z >> 31)
}
