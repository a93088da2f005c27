//! The resident memory of this process, as the system tells it.

/// Reads the resident memory, and knows the highest there was.
#[derive(Debug, Default)]
pub(super) struct Resident {
    highest: u64,
}

/// Resident memory in bytes; 0 where the system does not tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct ResidentBytes {
    /// Now.
    pub(super) now: u64,
    /// The most since the last look. A peak below that of an earlier time goes unseen.
    pub(super) peak: u64,
}

impl Resident {
    /// Looks at it. Nothing is waited for: no disk is behind it.
    pub(super) fn look(&mut self) -> ResidentBytes {
        self.take(&std::fs::read_to_string("/proc/self/status").unwrap_or_default())
    }

    fn take(&mut self, status: &str) -> ResidentBytes {
        let now = bytes(status, "VmRSS:");
        let highest = bytes(status, "VmHWM:");
        let peak = if highest > self.highest { highest } else { now };
        self.highest = self.highest.max(highest);
        ResidentBytes { now, peak }
    }
}

fn bytes(status: &str, name: &str) -> u64 {
    let line = status.lines().find_map(|line| line.strip_prefix(name));
    let kibibytes = line.and_then(|line| line.split_whitespace().next()?.parse::<u64>().ok());
    kibibytes.unwrap_or_default() * 1024
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_peak_between_two_looks_is_seen_if_it_is_the_highest_ever() {
        let mut resident = Resident::default();
        let mut look = |highest: u64, now: u64| {
            let seen = resident.take(&format!("Name:\tplumb\nVmHWM:\t {highest} kB\nVmRSS:\t {now} kB\n"));
            (seen.now / 1024, seen.peak / 1024)
        };
        assert_eq!(look(50, 20), (20, 50));
        assert_eq!(look(50, 30), (30, 30));
        assert_eq!(look(60, 10), (10, 60));
        assert_eq!(Resident::default().take(""), ResidentBytes::default());
        assert!(Resident::default().look().now > 0);
    }
}
