//! Charts over HTTP: views, tiles and totals.

use common::ids::RunId;
use coordinator::chart::fixture::{Fixture, Shape, Story};
use serde_json::Value;

use crate::port::Port;

#[tokio::test]
async fn a_large_run_is_columns_and_a_part_of_it_is_bars() {
    let port = Port::open(vec![Fixture::new(RunId(1), 40_000, Shape::DepthFirst, Story::Failures)]).await;
    let view = port.json("/api/runs/r1/view?by=batch&width=1000&height=600").await;
    assert_eq!(view["shown"], "columns");
    let tasks = view["tasks"].as_u64().expect("a number");
    assert!(tasks > 40_000);
    for tile in view["tiles"].as_array().expect("tiles") {
        assert_eq!(tile["sealed"], true);
        let answer = port.get(tile["url"].as_str().expect("an url")).await;
        assert_eq!(answer.status, 200);
        assert!(answer.head.contains("immutable"), "{}", answer.head);
        assert_eq!(answer.body.len(), length_of(&answer.body));
    }
    let part = port
        .json("/api/runs/r1/view?by=slot&from_us=1000000&to_us=1100000")
        .await;
    assert_eq!(part["shown"], "bars");
    let bars = part["bars"]["id"].as_array().expect("bars").len();
    assert_eq!(part["tasks"].as_u64(), Some(bars as u64));
    let table = port
        .json("/api/runs/r1/tasks?by=slot&from_us=1000000&to_us=1100000&page_size=1000")
        .await;
    assert_eq!(table["tasks"].as_array().expect("tasks").len(), bars.min(1_000));
    port.close().await;
}

/// Returns how long a tile is, by what its head says.
fn length_of(tile: &[u8]) -> usize {
    assert_eq!(&tile[..4], b"PLT2");
    let (ops, has_shares, rows) = (usize::from(tile[4]), tile[5] == 1, usize::from(tile[6]));
    let counts = tile[16 + 2 * rows..16 + 4 * rows].chunks(2);
    let cells: usize = counts
        .map(|two| usize::from(u16::from_le_bytes([two[0], two[1]])))
        .sum();
    16 + 4 * rows + cells * (6 + if has_shares { ops } else { 0 })
}

/// Takes a view apart that has its tiles in it: its JSON, and the tiles that came along.
fn taken_apart(body: &[u8]) -> (Value, Vec<&[u8]>) {
    assert_eq!(&body[..4], b"PLV1");
    let length = u32::from_le_bytes(body[4..8].try_into().expect("four bytes")) as usize;
    let view: Value = serde_json::from_slice(&body[8..8 + length]).expect("JSON");
    let mut at = 8 + length;
    let mut tiles = Vec::new();
    for tile in view["tiles"].as_array().expect("tiles") {
        if let Some(bytes) = tile["bytes"].as_u64() {
            at = at.next_multiple_of(8);
            tiles.push(&body[at..][..bytes as usize]);
            at += bytes as usize;
        }
    }
    assert_eq!(at, body.len());
    (view, tiles)
}

#[tokio::test]
async fn a_view_brings_its_tiles_along_and_to_who_has_them_none() {
    let port = Port::open(vec![Fixture::new(
        RunId(1),
        40_000,
        Shape::BreadthFirst,
        Story::Failures,
    )])
    .await;
    for by in ["batch", "slot"] {
        let path = format!("/api/runs/r1/view?by={by}&width=1000&height=600&inline=1");
        let answer = port.get(&path).await;
        assert!(answer.head.contains("no-store"), "{}", answer.head);
        let (view, tiles) = taken_apart(&answer.body);
        let named = view["tiles"].as_array().expect("tiles");
        assert!(!named.is_empty() && named.len() == tiles.len());
        for (place, tile) in named.iter().zip(tiles) {
            assert_eq!(tile, port.get(place["url"].as_str().expect("an url")).await.body);
            assert_eq!(tile.len(), length_of(tile));
        }
        let mark = view["mark"].as_str().expect("a mark");
        for (since, along) in [(mark, 0), ("of-another-process", named.len())] {
            let answer = port.get(&format!("{path}&since={since}")).await;
            let (again, tiles) = taken_apart(&answer.body);
            assert_eq!(
                (again["tiles"].as_array().map(Vec::len), tiles.len()),
                (Some(named.len()), along)
            );
        }
    }
    port.close().await;
}

#[tokio::test]
async fn totals_are_those_of_all_tasks() {
    let port = Port::open(vec![Fixture::new(RunId(1), 900, Shape::DepthFirst, Story::Failures)]).await;
    let totals = port.json("/api/runs/r1/totals").await;
    let table = port.json("/api/runs/r1/tasks?page_size=1000").await;
    let tasks = table["tasks"].as_array().expect("tasks");
    let number = |task: &Value, name: &str| task[name].as_u64().expect("a number");
    let busy: u64 = tasks
        .iter()
        .map(|task| number(task, "end_us") - number(task, "start_us"))
        .sum();
    assert_eq!(totals["tasks"], tasks.len());
    assert_eq!(totals["busy_us"], busy);
    let begun = tasks.iter().filter(|task| task["op"] != 0);
    let mut waits: Vec<u64> = begun
        .map(|task| number(task, "start_us") - number(task, "queued_us"))
        .collect();
    waits.sort_unstable();
    for (name, percent) in [("p50_us", 50), ("p95_us", 95)] {
        let exact = waits[(waits.len() * percent).div_ceil(100) - 1];
        assert!(totals["waits"][name].as_u64().expect("a number").abs_diff(exact) * 100 <= exact);
    }
    port.close().await;
}

#[tokio::test]
async fn a_tile_that_is_known_is_not_sent_again() {
    let port = Port::open(vec![Fixture::new(RunId(1), 8_000, Shape::BreadthFirst, Story::Plain)]).await;
    let path = "/api/runs/r1/tiles/slot/14/0/0/0";
    let first = port.get(path).await;
    let etag = first
        .head
        .lines()
        .find_map(|line| line.strip_prefix("etag: "))
        .expect("an etag");
    let again = port.send("GET", path, &[("if-none-match", etag)], "").await;
    assert_eq!((again.status, again.body.len()), (304, 0));
    assert_eq!(port.get("/api/runs/r1/tiles/slot/99/0/0/0").await.status, 400);
    port.close().await;
}
