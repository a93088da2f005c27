//! Ending with the parent: for the processes of a local cluster, which nobody else would end.

use std::io;

use rustix::process::{Pid, Signal, getppid, set_parent_process_death_signal};

/// Has the kernel kill this process when its parent ends in any way, SIGKILL included.
///
/// # Errors
/// If the parent is gone already: then no signal would come.
pub(crate) fn exit_with(parent: u32) -> io::Result<()> {
    set_parent_process_death_signal(Some(Signal::KILL))?;
    let expected = Pid::from_raw(parent.cast_signed());
    if getppid() == expected {
        Ok(())
    } else {
        Err(io::Error::other("it has ended already"))
    }
}
