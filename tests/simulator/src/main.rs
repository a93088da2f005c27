//! Runs histories from the command line: `simulate COUNT [FIRST]`, or `simulate --seed SEED` to be told one.

use std::process::ExitCode;
use std::time::Instant;

use simulator::history::{self, Failure};
use simulator::plan::Plan;
use simulator::sabotage::Sabotage;
use simulator::trace::Telling;

#[expect(clippy::print_stdout, reason = "this is what the program is for")]
fn main() -> ExitCode {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let number = |place: usize| arguments.get(place).and_then(|text| text.parse::<u64>().ok());
    std::panic::set_hook(Box::new(|_| {}));
    if arguments.first().is_some_and(|first| first == "--seed") {
        let seed = number(1).unwrap_or(0);
        let outcome = history::run(&Plan::draw(seed), Sabotage::None, Telling::Lines);
        for line in &outcome.lines {
            println!("{line}");
        }
        println!("{:?}", outcome.broken);
        return ExitCode::from(u8::from(outcome.broken.is_some()));
    }
    let (count, first) = (number(0).unwrap_or(2_000), number(1).unwrap_or(0));
    let started = Instant::now();
    let mut happenings = 0;
    for seed in first..first + count {
        let outcome = history::run(&Plan::draw(seed), Sabotage::None, Telling::Hash);
        happenings += outcome.happenings;
        if let Some(broken) = outcome.broken {
            println!("{}", history::tell(&Failure { seed, broken }, Sabotage::None));
            println!("make simulate SEEDS=1 FIRST={seed} shows it again");
            return ExitCode::FAILURE;
        }
    }
    let seconds = started.elapsed().as_secs_f64();
    println!("{count} histories from seed {first}, {happenings} happenings, {seconds:.1} s: every promise held");
    ExitCode::SUCCESS
}
