//! One run on a host, in the order in which it happens.

mod claim;
mod log;
mod orders;
