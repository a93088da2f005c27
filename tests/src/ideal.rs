//! The ideal schedule: what a run would take if nothing but its delays cost time.
//!
//! A list schedule of its own, which shares no code with the scheduler: whenever a slot is free, the ready task of the
//! highest priority starts, that of the lowest batch first.

use std::time::Duration;

/// Which ops go first.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Order {
    /// Later ops first.
    Depth,
    /// Earlier ops first.
    Breadth,
}

/// Returns the time from the first start to the last end. `delays` are the ops' times per row.
///
/// # Panics
/// If there are no slots.
pub fn wall(rows_of_batches: &[u32], delays: &[Duration], slots: usize, order: Order) -> Duration {
    let mut free_at = vec![Duration::ZERO; slots];
    // Per batch: the op that is next, and from when it is ready.
    let mut next: Vec<(usize, Duration)> = vec![(0, Duration::ZERO); rows_of_batches.len()];
    loop {
        let open = next.iter().enumerate().filter(|(_, (op, _))| *op < delays.len());
        let Some(soonest) = open.clone().map(|(_, (_, ready))| *ready).min() else {
            break;
        };
        let slot = (0..slots).min_by_key(|slot| free_at[*slot]).expect("there is a slot");
        let now = free_at[slot].max(soonest);
        let ready = open.filter(|(_, (_, ready))| *ready <= now);
        let wanted = |op: usize| match order {
            Order::Depth => delays.len() - op,
            Order::Breadth => op,
        };
        let chosen = ready
            .min_by_key(|(batch, (op, _))| (wanted(*op), *batch))
            .map(|(batch, _)| batch);
        let batch = chosen.expect("one is ready at the soonest");
        let (op, _) = next[batch];
        let end = now + delays[op] * rows_of_batches[batch];
        free_at[slot] = end;
        next[batch] = (op + 1, end);
    }
    free_at.into_iter().max().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEN: Duration = Duration::from_millis(10);

    #[test]
    fn one_batch_takes_the_sum_of_its_delays() {
        assert_eq!(
            wall(&[801], &[TEN, TEN], 4, Order::Depth),
            Duration::from_millis(16_020)
        );
    }

    #[test]
    fn nine_batches_on_four_slots_take_four_seconds_in_both_orders() {
        let batches = [100, 100, 100, 100, 100, 100, 100, 100, 1];
        for order in [Order::Depth, Order::Breadth] {
            let wall = wall(&batches, &[TEN, TEN], 4, order);
            assert!((4.0..4.05).contains(&wall.as_secs_f64()), "{order:?}: {wall:?}");
        }
    }
}
