//! A numbered, resumable stream of frames: nothing lost and nothing twice while both processes live.
//!
//! Each side of a worker's session keeps an [`Outbox`] of the frames that the other has not acknowledged, and an
//! [`Inbox`] that knows the last frame it took. When a connection breaks, the two sides tell each other how far they
//! got, and the outboxes send the rest again. Owns no connection and no clock.
//!
//! Known weakness: an outbox is bounded; a peer that is silent for so long that the bound is reached has its session
//! ended, and says all over again what it holds.

use std::collections::VecDeque;

/// The frames that were sent and are not acknowledged.
#[derive(Debug)]
pub struct Outbox<F> {
    /// Unacknowledged frames, oldest first; the first one has number `acked + 1`.
    frames: VecDeque<F>,
    /// The number of the last frame that the peer acknowledged; frames are numbered from 1.
    acked: u64,
    /// How many unacknowledged frames are kept.
    bound: usize,
}

/// More frames wait for an acknowledgement than are kept: the session has to end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the peer left {waiting} frames unacknowledged")]
pub struct OutboxFull {
    /// How many frames wait.
    pub waiting: usize,
}

/// The peer acknowledged a frame that was never sent, or asks for one that is gone.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("the peer speaks of frame {number}, frames {first} to {last} are known")]
pub struct UnknownFrame {
    /// The number the peer named.
    pub number: u64,
    /// The first number that can still be named.
    pub first: u64,
    /// The last number that was given out.
    pub last: u64,
}

impl<F: Clone> Outbox<F> {
    /// Makes an empty outbox that keeps at most `bound` unacknowledged frames.
    pub fn new(bound: usize) -> Outbox<F> {
        Outbox {
            frames: VecDeque::new(),
            acked: 0,
            bound,
        }
    }

    /// Keeps a frame and returns the number to send it under.
    pub fn push(&mut self, frame: F) -> Result<u64, OutboxFull> {
        if self.frames.len() >= self.bound {
            return Err(OutboxFull {
                waiting: self.frames.len(),
            });
        }
        self.frames.push_back(frame);
        Ok(self.last())
    }

    /// Forgets the frames up to and including `number`, which the peer has taken.
    pub fn acknowledge(&mut self, number: u64) -> Result<(), UnknownFrame> {
        if number > self.last() {
            return Err(self.unknown(number));
        }
        let taken = number.saturating_sub(self.acked);
        self.frames.drain(..taken as usize);
        self.acked += taken;
        Ok(())
    }

    /// Returns the frames after `received` with their numbers, to be sent again on a new connection.
    pub fn resend_after(&mut self, received: u64) -> Result<impl Iterator<Item = (u64, F)> + '_, UnknownFrame> {
        if received < self.acked {
            return Err(self.unknown(received));
        }
        self.acknowledge(received)?;
        let first = self.acked + 1;
        Ok(self
            .frames
            .iter()
            .cloned()
            .enumerate()
            .map(move |(place, frame)| (first + place as u64, frame)))
    }

    /// Returns the number of the last frame given out.
    pub fn last(&self) -> u64 {
        self.acked + self.frames.len() as u64
    }

    fn unknown(&self, number: u64) -> UnknownFrame {
        UnknownFrame {
            number,
            first: self.acked,
            last: self.last(),
        }
    }
}

/// How far the peer's frames were taken.
#[derive(Debug, Default)]
pub struct Inbox {
    received: u64,
}

/// What to do with a frame that arrived.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Arrival {
    /// It is the next one: take it.
    Next,
    /// It was taken before: drop it.
    Repeat,
    /// Frames before it are missing: the connection is broken.
    Gap,
}

impl Inbox {
    /// Notes a frame's number and says what to do with it.
    pub fn arrive(&mut self, number: u64) -> Arrival {
        if number <= self.received {
            return Arrival::Repeat;
        }
        if number > self.received + 1 {
            return Arrival::Gap;
        }
        self.received = number;
        Arrival::Next
    }

    /// Returns the number of the last frame taken, to acknowledge it.
    pub fn received(&self) -> u64 {
        self.received
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_broken_connection_swallowed_is_sent_again() {
        let mut outbox = Outbox::new(8);
        for frame in ["a", "b", "c"] {
            outbox.push(frame).expect("has room");
        }
        outbox.acknowledge(1).expect("was sent");
        let again: Vec<_> = outbox.resend_after(2).expect("is kept").collect();
        assert_eq!(again, [(3, "c")]);
    }

    #[test]
    fn a_frame_is_taken_once_and_a_gap_is_seen() {
        let mut inbox = Inbox::default();
        assert_eq!(inbox.arrive(1), Arrival::Next);
        assert_eq!(inbox.arrive(1), Arrival::Repeat);
        assert_eq!(inbox.arrive(3), Arrival::Gap);
        assert_eq!(inbox.arrive(2), Arrival::Next);
        assert_eq!(inbox.received(), 2);
    }

    #[test]
    fn an_outbox_is_bounded_and_refuses_acknowledgements_from_the_future() {
        let mut outbox = Outbox::new(1);
        assert_eq!(outbox.push("a"), Ok(1));
        assert_eq!(outbox.push("b"), Err(OutboxFull { waiting: 1 }));
        assert!(outbox.acknowledge(2).is_err());
        outbox.acknowledge(1).expect("was sent");
        assert!(outbox.resend_after(0).is_err());
    }
}
