//! What processes used: processor time by thread, and memory, from /proc.

use std::collections::BTreeMap;
use std::fs;

/// What a process has used so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Usage {
    /// Seconds of processor time, user and system.
    pub(crate) cpu: f64,
    /// The same by the name of the thread; threads that have ended are only in the sum.
    pub(crate) threads: BTreeMap<String, f64>,
    /// The most memory that was resident, in bytes.
    pub(crate) peak_rss: u64,
}

impl Usage {
    /// Reads what a living process has used.
    ///
    /// # Panics
    /// If there is no such process.
    pub(crate) fn of(pid: u32) -> Usage {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).expect("the process lives");
        let mut threads = BTreeMap::new();
        for thread in fs::read_dir(format!("/proc/{pid}/task")).expect("the process lives") {
            let Ok(stat) = fs::read_to_string(thread.expect("a thread").path().join("stat")) else {
                continue;
            };
            *threads.entry(name(&stat)).or_default() += seconds(&stat);
        }
        let status = fs::read_to_string(format!("/proc/{pid}/status")).expect("the process lives");
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
        let peak = peak.and_then(|line| line.trim().trim_end_matches(" kB").parse::<u64>().ok());
        Usage {
            cpu: seconds(&stat),
            threads,
            peak_rss: peak.unwrap_or_default() * 1_024,
        }
    }

    /// Returns what was used since an earlier look; memory is the peak of all time.
    pub(crate) fn since(&self, before: &Usage) -> Usage {
        let earlier = |name: &str| before.threads.get(name).copied().unwrap_or_default();
        let threads = self.threads.iter();
        Usage {
            cpu: self.cpu - before.cpu,
            threads: threads.map(|(name, cpu)| (name.clone(), cpu - earlier(name))).collect(),
            peak_rss: self.peak_rss,
        }
    }
}

/// Returns the seconds that all processors of the machine were busy with anything.
pub(crate) fn machine_busy() -> f64 {
    let stat = fs::read_to_string("/proc/stat").expect("Linux has /proc");
    let first = stat.lines().next().unwrap_or_default();
    let ticks: Vec<f64> = first
        .split_whitespace()
        .skip(1)
        .filter_map(|ticks| ticks.parse().ok())
        .collect();
    let idle = ticks.get(3).unwrap_or(&0.0) + ticks.get(4).unwrap_or(&0.0);
    (ticks.iter().take(8).sum::<f64>() - idle) / ticks_per_second()
}

fn name(stat: &str) -> String {
    let inner = stat.split_once('(').and_then(|(_, rest)| rest.rsplit_once(')'));
    let name = inner.map_or("", |(name, _)| name);
    // The slots of a worker, and the threads of a runtime, count together.
    name.trim_end_matches(|letter: char| letter.is_ascii_digit() || letter == '-')
        .to_owned()
}

fn seconds(stat: &str) -> f64 {
    // The fields behind the name in parentheses; utime and stime are the 14th and 15th of all.
    let behind = stat.rsplit_once(')').map_or("", |(_, behind)| behind);
    let fields: Vec<&str> = behind.split_whitespace().collect();
    let ticks = |place: usize| fields.get(place).and_then(|ticks| ticks.parse::<f64>().ok());
    (ticks(11).unwrap_or_default() + ticks(12).unwrap_or_default()) / ticks_per_second()
}

#[expect(clippy::cast_precision_loss, reason = "it is 100 on every Linux")]
fn ticks_per_second() -> f64 {
    rustix::param::clock_ticks_per_second() as f64
}
