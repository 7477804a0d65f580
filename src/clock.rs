//! The only place that reads a clock: wall time for people and records, boot time for leases.
