//! The three jobs of the sample over 801 rows, as golden charts: a quarter of a second a character.

mod support;

use std::num::NonZeroU32;

use common::job::{Batching, Order};
use common::state::RunState;
use support::{World, gantt, jobs};

fn play(order: Order, batching: Batching) -> (World, String) {
    let mut world = World::new();
    world.worker("w1", 2);
    world.worker("w2", 2);
    let start = world.now;
    let run = world.run(1, jobs::sample("sample", order, batching), 801);
    world.run_to_end();
    assert_eq!(world.ended[&run].state, RunState::Succeeded);
    assert!(world.ended[&run].rows.balances());
    assert_eq!(world.ended[&run].rows.loaded, 801);
    let chart = gantt::by_batch(&world, start, 250);
    (world, chart)
}

#[test]
fn depth_first_finishes_each_batch_end_to_end_before_new_ones_begin() {
    let (world, chart) = play(Order::DepthFirst, jobs::rows(100));
    let expected = [
        "  0 |11112222",
        "  1 |11112222",
        "  2 |11112222",
        "  3 |11112222",
        "  4 |        11112222",
        "  5 |        11112222",
        "  6 |        11112222",
        "  7 |        11112222",
        "  8 |                2",
        "",
    ];
    assert_eq!(chart, expected.join("\n"), "\n{chart}");
    let summary = world.ended.values().next().expect("ended");
    assert_eq!(summary.batches_in_flight.peak, 4);
    assert!(summary.wall_seconds(world.now) < 4.05);
    assert!(
        summary
            .first_batch_loaded
            .expect("loaded")
            .seconds_since(summary.accepted)
            < 2.01
    );
}

#[test]
fn breadth_first_extracts_everything_first_and_loads_last() {
    let (world, chart) = play(Order::BreadthFirst, jobs::rows(100));
    let expected = [
        "  0 |1111....2222....",
        "  1 |1111....2222....",
        "  2 |1111....2222....",
        "  3 |1111....2222....",
        "  4 |    1111....2222",
        "  5 |    1111....2222",
        "  6 |    1111....2222",
        "  7 |    1111....2222",
        "  8 |        1.......2",
        "",
    ];
    assert_eq!(chart, expected.join("\n"), "\n{chart}");
    let summary = world.ended.values().next().expect("ended");
    assert_eq!(summary.batches_in_flight.peak, 9, "\n{chart}");
    assert!(
        summary
            .first_batch_loaded
            .expect("loaded")
            .seconds_since(summary.accepted)
            > 3.9,
        "\n{chart}"
    );
    assert!(summary.wall_seconds(world.now) < 4.3, "\n{chart}");
}

#[test]
fn the_static_job_is_one_batch() {
    let (world, chart) = play(Order::DepthFirst, Batching::WholeInput);
    let expected = format!("  0 |{}{}\n", "1".repeat(32), "2".repeat(32));
    assert_eq!(chart, expected);
    let summary = world.ended.values().next().expect("ended");
    assert_eq!((summary.batches_in_flight.peak, summary.batches.total), (1, 1));
    assert!((16.01..16.03).contains(&summary.wall_seconds(world.now)));
}

#[test]
fn a_limited_op_does_not_let_batches_pile_up_and_costs_no_time() {
    let wall = |window: Option<u32>| {
        let mut world = World::new();
        world.worker("w1", 4);
        world.worker("w2", 4);
        let mut limited = jobs::op_of("limited", 1_000);
        limited.max_concurrent = NonZeroU32::new(2);
        let mut schedule = jobs::cap(8);
        schedule.max_in_flight = window.and_then(NonZeroU32::new);
        let ops = vec![jobs::op_of("before", 250), limited, jobs::op_of("after", 250)];
        let run = world.run(1, jobs::chain("limited", ops, jobs::rows(1), schedule), 200);
        let wall = world.run_to_end();
        (wall, world.ended[&run].batches_in_flight.peak)
    };
    let (with_admission, peak) = wall(None);
    let (priority_only, piled_up) = wall(Some(1_000));
    assert_eq!(peak, 10, "the default window of a cap of 8");
    assert!(piled_up > 100, "without admission {piled_up} batches pile up");
    assert!(
        with_admission <= priority_only,
        "{with_admission:?} against {priority_only:?}"
    );
}
