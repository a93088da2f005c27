//! What networks do between workers and their coordinator, and between two workers: the run ends, its output is that of
//! an undisturbed one, and the cap holds all the while.

use std::net::{Ipv4Addr, SocketAddr, TcpListener};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use rustix::process::Signal;
use serde_json::json;
use tests::disturbed::in_the_middle;
use tests::proxy::{Direction, Weather};
use tests::{Attempt, Cluster, Disturbed, Proxy, oracle, until};

/// Adds two workers of two slots that reach the coordinator through a proxy each.
fn behind_proxies(mut cluster: Cluster) -> (Cluster, [Proxy; 2]) {
    let coordinator: SocketAddr = cluster.address("worker-grpc").parse().expect("an address");
    let proxies = [Proxy::start(coordinator), Proxy::start(coordinator)];
    for (name, proxy) in ["w1", "w2"].iter().zip(&proxies) {
        let call = cluster.worker_call(name, 2, proxy.address());
        cluster.start_worker(name, call);
    }
    cluster.wait_for_workers(2);
    (cluster, proxies)
}

/// Does something to the network after every few batches, as long as the run goes on.
fn again_and_again(cluster: &Cluster, run: &str, mut disturb: impl FnMut()) {
    for times in 1..=5 {
        until("some more batches are committed", || {
            let report = cluster.show(run);
            assert!(
                !report.ended(),
                "the run has ended before the network was disturbed {times} times"
            );
            (report.batches.committed >= times * 5).then_some(())
        });
        disturb();
    }
}

/// A connection that breaks and is made again in time loses nothing, so nothing is done twice.
fn expect_nothing_repeated(attempts: &[Attempt]) {
    let repeated = attempts
        .iter()
        .find(|attempt| attempt.attempt > 1 || !attempt.succeeded());
    assert!(repeated.is_none(), "{repeated:?}\n{}", oracle::print(attempts));
}

#[test]
fn a_slow_network_changes_nothing() {
    let (cluster, proxies) = behind_proxies(Cluster::start(0, 1));
    let disturbed = Disturbed::after_an_undisturbed_run(&cluster);
    for proxy in &proxies {
        proxy.set(Weather::Slow(Duration::from_millis(60)));
    }
    let run = disturbed.submit(&cluster, "20ms");
    expect_nothing_repeated(&disturbed.expect_same(&cluster, &run));
    cluster.finish();
}

#[test]
fn connections_that_are_cut_again_and_again_lose_and_repeat_nothing() {
    let (cluster, proxies) = behind_proxies(Cluster::start(0, 1));
    let disturbed = Disturbed::after_an_undisturbed_run(&cluster);
    let run = disturbed.submit(&cluster, "40ms");
    again_and_again(&cluster, &run, || {
        let cut = || proxies.iter().map(Proxy::cut).sum::<usize>();
        until("there is a connection to cut", || (cut() > 0).then_some(()));
    });
    expect_nothing_repeated(&disturbed.expect_same(&cluster, &run));
    disturbed.expect_nothing_else();
    cluster.finish();
}

#[test]
fn half_closed_connections_lose_and_repeat_nothing() {
    let (cluster, proxies) = behind_proxies(Cluster::start(0, 1));
    let disturbed = Disturbed::after_an_undisturbed_run(&cluster);
    let run = disturbed.submit(&cluster, "40ms");
    let mut directions = [Direction::ToServer, Direction::ToClient].into_iter().cycle();
    again_and_again(&cluster, &run, || {
        let direction = directions.next().expect("they come again and again");
        let close = || proxies.iter().map(|proxy| proxy.half_close(direction)).sum::<usize>();
        until("there is a connection to close", || (close() > 0).then_some(()));
    });
    expect_nothing_repeated(&disturbed.expect_same(&cluster, &run));
    disturbed.expect_nothing_else();
    cluster.finish();
}

#[test]
fn a_worker_behind_a_silent_network_loses_its_leases_and_comes_back_when_it_is_heard_again() {
    let (cluster, proxies) = behind_proxies(Cluster::with_short_leases());
    let disturbed = Disturbed::after_an_undisturbed_run(&cluster);
    let run = disturbed.submit(&cluster, "100ms");
    cluster.wait_until(&run, "the run is in its middle", in_the_middle);
    proxies[0].set(Weather::Silent);
    until("the worker is given up", || cluster.has_given_up("w1").then_some(()));
    proxies[0].set(Weather::Clear);
    cluster.wait_for_workers(2);
    let attempts = disturbed.expect_same(&cluster, &run);
    assert!(
        attempts.iter().any(|attempt| attempt.state == "lost"),
        "it held leases when it fell silent"
    );
    disturbed.expect_nothing_else();
    cluster.finish();
}

#[test]
fn a_worker_that_is_refused_for_longer_than_a_lease_comes_back_too() {
    let (cluster, proxies) = behind_proxies(Cluster::with_short_leases());
    let disturbed = Disturbed::after_an_undisturbed_run(&cluster);
    let run = disturbed.submit(&cluster, "60ms");
    cluster.wait_until(&run, "the run is in its middle", in_the_middle);
    proxies[0].set(Weather::Silent);
    until("the worker is given up", || cluster.has_given_up("w1").then_some(()));
    proxies[0].set(Weather::Refusing);
    let dialled = proxies[0].accepted() + proxies[0].cut();
    until("the worker dials again", || {
        (proxies[0].accepted() > dialled).then_some(())
    });
    proxies[0].set(Weather::Clear);
    cluster.wait_for_workers(2);
    disturbed.expect_same(&cluster, &run);
    disturbed.expect_nothing_else();
    cluster.finish();
}

/// A port that nobody else takes: at an address of the loopback that only this process and its children use.
fn address_of_our_own() -> SocketAddr {
    let [_, a, b, c] = std::process::id().to_be_bytes();
    let address = Ipv4Addr::new(127, a.wrapping_add(32), b, c.clamp(1, 254));
    let listener = TcpListener::bind((address, 0)).expect("the loopback has many addresses");
    listener.local_addr().expect("a bound port")
}

/// A worker whose exchange others reach through a proxy.
fn add_worker_behind_exchange(cluster: &mut Cluster, name: &str, slots: u32) -> Proxy {
    let exchange = address_of_our_own();
    let proxy = Proxy::start(exchange);
    let call = cluster
        .worker_call(name, slots, cluster.address("worker-grpc"))
        .args(["--exchange", &exchange.to_string()])
        .args(["--advertise", &format!("http://{}", proxy.address())])
        .arg("--insecure");
    cluster.start_worker(name, call);
    proxy
}

/// The outputs of one worker are parked in front of an op with a limit of its own, and go on at another one, which
/// fetches them through a network that is disturbed at every look until the run has ended.
fn outputs_move_through(disturb: impl Fn(&Proxy)) {
    let mut cluster = Cluster::with_short_leases();
    let proxy = add_worker_behind_exchange(&mut cluster, "w1", 4);
    cluster.wait_for_workers(1);
    let disturbed = Disturbed::after_an_undisturbed_run(&cluster);
    // Slower than what comes before it, so that outputs wait at every moment.
    let slow = json!({ "per_batch": "60ms" });
    let job = disturbed.job(&cluster, "10ms").of_op("wait", "max_concurrent", 1);
    let run = cluster.submit(&job.of_op("wait", "delay", slow));
    cluster.wait_until(&run, "the run is in its middle", in_the_middle);
    cluster.add_worker("w2", 4);
    cluster.wait_for_workers(2);
    disturb(&proxy);
    // What it keeps has to go elsewhere before it leaves.
    cluster.worker("w1").signal(Signal::TERM);
    until("the run ends", || {
        disturb(&proxy);
        cluster.show(&run).ended().then_some(())
    });
    let attempts = disturbed.expect_same(&cluster, &run);
    disturbed.expect_nothing_else();
    assert!(
        proxy.accepted() > 0,
        "nothing was fetched:\n{}",
        oracle::print(&attempts)
    );
    cluster.finish();
}

#[test]
fn outputs_are_fetched_over_a_slow_network() {
    outputs_move_through(|proxy| proxy.set(Weather::Slow(Duration::from_millis(60))));
}

#[test]
fn outputs_that_cannot_be_fetched_are_made_again() {
    outputs_move_through(|proxy| proxy.set(Weather::Refusing));
}

#[test]
fn a_fetch_that_is_cut_in_its_middle_is_tried_again_or_its_output_made_again() {
    let cut = AtomicUsize::new(0);
    outputs_move_through(|proxy| {
        // Slow enough to be in the middle at some look.
        proxy.set(Weather::Slow(Duration::from_millis(60)));
        cut.fetch_add(proxy.cut(), Ordering::Relaxed);
    });
    assert!(cut.into_inner() > 0, "no fetch was cut");
}

#[test]
fn a_fetch_that_is_half_closed_in_its_middle_is_tried_again_or_its_output_made_again() {
    let closed = AtomicUsize::new(0);
    outputs_move_through(|proxy| {
        proxy.set(Weather::Slow(Duration::from_millis(60)));
        closed.fetch_add(proxy.half_close(Direction::ToClient), Ordering::Relaxed);
    });
    assert!(closed.into_inner() > 0, "no fetch was half-closed");
}

#[test]
fn a_holder_that_falls_silent_holds_up_nobody_for_long() {
    outputs_move_through(|proxy| proxy.set(Weather::Silent));
}
