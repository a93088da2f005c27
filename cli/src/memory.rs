//! How much memory this process may use, how much of it a worker gives to parked outputs, and in which pages it comes.
//!
//! Owns the look at the control groups of Linux, of both versions, and the share. A process sees its group by the path
//! that `/proc/self/cgroup` names, or, in a container without a namespace of its own for groups, as the root of the
//! tree; a limit of any group above counts too. So every folder from the path up to the root is asked, and the least
//! answer holds.
//!
//! Known weakness: the trees are looked for where every distribution mounts them, in `/sys/fs/cgroup`. The limit is read
//! once: what is changed while the worker runs is seen by the next one.

use std::fs;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};

use common::units::ByteSize;

/// What parked outputs get where no limit is set.
const PARKING_WITHOUT_LIMIT: ByteSize = ByteSize(256 << 20);
/// What the program itself needs.
const PROGRAM: u64 = 64 << 20;
/// What the batch in a slot needs: one of the default 8 MiB, as bytes, as columns, as what an op makes of them, and
/// being written.
const SLOT: u64 = 32 << 20;

/// Returns what parked outputs may take: half of what the program and the slots leave of the limit. The other half is
/// for outputs on their way to other workers, and for batches that are larger than most.
pub(crate) fn parking_share(limit: Option<ByteSize>, slots: NonZeroU32) -> ByteSize {
    let Some(limit) = limit else {
        return PARKING_WITHOUT_LIMIT;
    };
    let taken = PROGRAM + SLOT * u64::from(slots.get());
    ByteSize(limit.0.saturating_sub(taken) / 2)
}

/// Asks the system to back this process' memory with small pages alone. A coordinator's memory is many small values that come and go: in
/// pages of 2 MiB a third of it is resident without being used, and clearing them at the first touch takes a third of its time while
/// many batches are begun.
pub(crate) fn use_small_pages() {
    if let Err(error) = rustix::thread::disable_transparent_huge_pages(true) {
        tracing::debug!(%error, "the system goes on with large pages; the coordinator takes more memory");
    }
}

/// Returns the limit that the system sets this process, such as a container's; `None` if there is none.
pub(crate) fn limit() -> Option<ByteSize> {
    limit_below(Path::new("/"))
}

fn limit_below(root: &Path) -> Option<ByteSize> {
    let groups = fs::read_to_string(root.join("proc/self/cgroup")).ok()?;
    let limits = groups.lines().filter_map(|line| limit_of_group(root, line));
    // Version 1 says "no limit" with a number that no machine has.
    let machine = machine_memory(root).unwrap_or(u64::MAX);
    limits.filter(|limit| *limit < machine).min().map(ByteSize)
}

/// Returns the least limit of a line such as `0::/a/b` or `4:memory:/a/b`, from the group itself up to the root.
fn limit_of_group(root: &Path, line: &str) -> Option<u64> {
    let mut fields = line.splitn(3, ':');
    let (_, controllers, path) = (fields.next()?, fields.next()?, fields.next()?);
    let (tree, file) = if controllers.is_empty() {
        ("sys/fs/cgroup", "memory.max")
    } else if controllers.split(',').any(|controller| controller == "memory") {
        ("sys/fs/cgroup/memory", "memory.limit_in_bytes")
    } else {
        return None;
    };
    let folders = Path::new(path.trim_start_matches('/')).ancestors();
    let files = folders.map(|folder| root.join(tree).join(folder).join(file));
    files.filter_map(|file| number(&file)).min()
}

/// Reads a file that holds one number; `None` for one that is not there or says `max`.
fn number(file: &PathBuf) -> Option<u64> {
    fs::read_to_string(file).ok()?.trim().parse().ok()
}

fn machine_memory(root: &Path) -> Option<u64> {
    let text = fs::read_to_string(root.join("proc/meminfo")).ok()?;
    let total = text.lines().find_map(|line| line.strip_prefix("MemTotal:"))?;
    let kibibytes: u64 = total.trim().strip_suffix("kB")?.trim().parse().ok()?;
    kibibytes.checked_mul(1024)
}

#[cfg(test)]
mod tests {
    use super::*;

    const MIB: u64 = 1 << 20;

    #[test]
    fn a_process_that_wants_small_pages_gets_no_large_ones() {
        use_small_pages();
        assert!(rustix::thread::transparent_huge_pages_are_disabled().expect("is known"));
    }

    /// A machine of 1 GiB whose files are in a folder of the test.
    fn machine(files: &[(&str, &str)]) -> tempfile::TempDir {
        let root = tempfile::tempdir().expect("a temporary folder");
        let memory = ("proc/meminfo", "MemTotal:        1048576 kB\nMemFree: 1 kB\n");
        for (name, content) in files.iter().chain([&memory]) {
            let path = root.path().join(name);
            fs::create_dir_all(path.parent().expect("has one")).expect("is made");
            fs::write(path, content).expect("is written");
        }
        root
    }

    fn limit_of(files: &[(&str, &str)]) -> Option<u64> {
        limit_below(machine(files).path()).map(|limit| limit.0)
    }

    #[test]
    fn a_container_with_a_namespace_of_its_own_is_the_root_of_the_tree() {
        let files = [
            ("proc/self/cgroup", "0::/\n"),
            ("sys/fs/cgroup/memory.max", "536870912\n"),
        ];
        assert_eq!(limit_of(&files), Some(512 * MIB));
    }

    #[test]
    fn the_least_limit_of_a_group_and_those_above_it_holds() {
        let files = [
            ("proc/self/cgroup", "0::/user/worker\n"),
            ("sys/fs/cgroup/user/worker/memory.max", "max\n"),
            ("sys/fs/cgroup/user/memory.max", "314572800\n"),
            ("sys/fs/cgroup/memory.max", "524288000\n"),
        ];
        assert_eq!(limit_of(&files), Some(300 * MIB));
    }

    #[test]
    fn a_container_of_version_one_that_sees_its_path_from_outside_is_found_at_the_root() {
        let files = [
            (
                "proc/self/cgroup",
                "5:cpu,cpuacct:/docker/0a\n4:memory:/docker/0a\n0::/\n",
            ),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "134217728\n"),
        ];
        assert_eq!(limit_of(&files), Some(128 * MIB));
    }

    #[test]
    fn the_number_by_which_version_one_says_unlimited_is_no_limit() {
        let files = [
            ("proc/self/cgroup", "4:memory:/\n"),
            ("sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n"),
        ];
        assert_eq!(limit_of(&files), None);
        assert_eq!(limit_of(&[("proc/self/cgroup", "0::/\n")]), None);
        assert_eq!(limit_of(&[]), None);
    }

    #[test]
    fn parked_outputs_get_half_of_what_the_program_and_the_slots_leave() {
        let share =
            |mib: u64, slots| parking_share(Some(ByteSize(mib * MIB)), NonZeroU32::new(slots).expect("is not zero"));
        assert_eq!(share(512, 2), ByteSize(192 * MIB));
        assert_eq!(share(512, 8), ByteSize(96 * MIB));
        assert_eq!(share(2048, 2), ByteSize(960 * MIB));
        assert_eq!(share(100, 2), ByteSize(0), "everything is spilled");
        assert_eq!(parking_share(None, NonZeroU32::MIN), PARKING_WITHOUT_LIMIT);
    }
}
