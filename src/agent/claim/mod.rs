//! Taking a phase, and the lease that comes with it.

mod keeper;
mod times;

pub(crate) use keeper::{Keeper, RenewError, Renewal};
