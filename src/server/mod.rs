//! The control plane: wires its parts.

/// Which state of a run may follow which: pure.
pub mod queue;

/// Long polls.
pub mod wake;
