//! The run's own door on loopback.
