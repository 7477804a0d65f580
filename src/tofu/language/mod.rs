//! Configuration files (HCL 2 and its JSON form): which ones count, and what they say that matters to us.

/// Which files tofu reads.
pub mod files;
