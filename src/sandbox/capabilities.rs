//! Capabilities: given to init for as long as it makes the sandbox, and taken from everybody else.
//!
//! Rule: no program of a step ever has one, not even as root (capabilities(7)).

use std::io;

use rustix::io::Errno;
use rustix::thread::{
    CapabilitySet, CapabilitySets, capabilities, clear_ambient_capability_set, configure_capability_in_ambient_set,
    remove_capability_from_bounding_set, set_capabilities,
};

/// What init needs: mounts and `pivot_root`, and to empty its own bounding set.
const OF_INIT: [CapabilitySet; 2] = [CapabilitySet::SYS_ADMIN, CapabilitySet::SETPCAP];

/// Whether this process may make namespaces without a user namespace.
pub(super) fn may_administer() -> io::Result<bool> {
    Ok(capabilities(None)?.effective.contains(CapabilitySet::SYS_ADMIN))
}

/// Keeps what init needs over the next exec, which takes everything else from whoever is not root.
pub(super) fn keep_for_init() -> io::Result<()> {
    let held = capabilities(None)?;
    let wanted = OF_INIT.into_iter().fold(CapabilitySet::empty(), CapabilitySet::union) & held.permitted;
    set_capabilities(None, CapabilitySets { inheritable: wanted, ..held })?;
    for one in OF_INIT.into_iter().filter(|one| wanted.contains(*one)) {
        configure_capability_in_ambient_set(one, true)?;
    }
    Ok(())
}

/// Gives up every capability, out of every set. After `no_new_privs` an exec gives none back, not even to root and not
/// even where the bounding set cannot be changed, which takes `CAP_SETPCAP`.
pub(super) fn drop_all() -> io::Result<()> {
    clear_ambient_capability_set()?;
    for number in 0..u64::BITS {
        match remove_capability_from_bounding_set(CapabilitySet::from_bits_retain(1 << number)) {
            Ok(()) => {}
            // The one before was the last that this kernel knows; or we may not.
            Err(Errno::INVAL | Errno::PERM) => break,
            Err(errno) => return Err(errno.into()),
        }
    }
    let none = CapabilitySet::empty();
    let held = capabilities(None)?;
    // A unit's `SystemCallFilter=~@privileged` refuses the call; there is nothing to give up there.
    if held.effective != none || held.permitted != none || held.inheritable != none {
        set_capabilities(None, CapabilitySets { effective: none, permitted: none, inheritable: none })?;
    }
    Ok(())
}
