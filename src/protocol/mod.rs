//! Data on the wire, no I/O.
