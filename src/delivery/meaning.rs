//! What each delivery means, for people: the sentences of receipts, `doctor` and hints.

use super::{file, helper};
use crate::protocol::delivery::DeliveryChoice;

/// The ways that a wish leads to, each with its sentence.
pub fn meanings(wish: DeliveryChoice) -> Vec<(&'static str, &'static str)> {
    let (helper, file) = (("helper", helper::MEANING), ("file", file::MEANING));
    match wish {
        DeliveryChoice::Auto | DeliveryChoice::Broker | DeliveryChoice::Helper => vec![helper],
        DeliveryChoice::File => vec![file],
    }
}
