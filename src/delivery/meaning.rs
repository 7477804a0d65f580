//! What each delivery means, for people: the sentences of receipts, `doctor` and hints.

use super::{broker, file, helper};
use crate::protocol::delivery::DeliveryChoice;
use crate::sandbox::Sandbox;

/// The ways that a wish leads to, each with its sentence.
pub fn meanings(wish: DeliveryChoice, sandbox: Sandbox) -> Vec<(&'static str, &'static str)> {
    let (broker, helper) = (("broker", broker::MEANING), ("helper", helper::MEANING));
    match wish {
        DeliveryChoice::Auto => vec![broker, helper],
        DeliveryChoice::Broker => vec![broker],
        DeliveryChoice::Helper => vec![helper],
        DeliveryChoice::File => vec![("file", file::meaning(sandbox))],
    }
}
