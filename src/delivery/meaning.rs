//! What each delivery means, for people: the sentences of receipts, `doctor` and hints.

use super::{broker, file};
use crate::protocol::delivery::DeliveryChoice;
use crate::sandbox::{Sandbox, landlock_version};

/// Of the helper alone, and beside the broker, where programs that tofu starts for modules are kept from its memory.
const KEPT: [&str; 2] = [
    "tofu asked the agent for each credential through a credential helper that answered tofu alone, and no file held one: \
     an expression of the configuration could not read it, and the programs that tofu started for modules (git, hg) were \
     kept from tofu's memory",
    "tofu had no credential for registries elsewhere: the broker on loopback asked them for it, by GET and HEAD, during \
     the fetch step alone; for registries on this host, which no proxy can serve, tofu asked the agent through a \
     credential helper: no expression of the configuration could read those credentials, and the programs that tofu \
     started for modules (git, hg) were kept from tofu's memory",
];

/// The same where the kernel has no Landlock.
const OPEN: [&str; 2] = [
    "tofu asked the agent for each credential through a credential helper that answered tofu alone, and no file held one: \
     an expression of the configuration could not read it, but a program that tofu itself started during the fetch step \
     (git, hg) could have taken it out of tofu's memory, because this kernel has no Landlock",
    "tofu had no credential for registries elsewhere: the broker on loopback asked them for it, by GET and HEAD, during \
     the fetch step alone; for registries on this host, which no proxy can serve, tofu asked the agent through a \
     credential helper: no expression of the configuration could read those credentials, but a program that tofu itself \
     started during the fetch step (git, hg) could have taken them out of tofu's memory, because this kernel has no \
     Landlock",
];

/// What the credential helper means.
pub(super) fn of_helper() -> &'static str {
    with_helper(landlock_version())[0]
}

/// What the two together mean.
pub(super) fn of_broker_and_helper() -> &'static str {
    with_helper(landlock_version())[1]
}

/// Domains that keep processes apart came with the first version of Landlock.
fn with_helper(landlock: u32) -> [&'static str; 2] {
    if landlock > 0 { KEPT } else { OPEN }
}

/// The ways that a wish leads to, each with its sentence.
pub fn meanings(wish: DeliveryChoice, sandbox: Sandbox) -> Vec<(&'static str, &'static str)> {
    let (broker, helper) = (("broker", broker::MEANING), ("helper", of_helper()));
    match wish {
        DeliveryChoice::Auto => vec![broker, helper],
        DeliveryChoice::Broker => vec![broker],
        DeliveryChoice::Helper => vec![helper],
        DeliveryChoice::File => vec![("file", file::meaning(sandbox))],
    }
}

#[cfg(test)]
mod tests {
    use super::with_helper;

    #[test]
    fn without_landlock_a_receipt_says_who_could_have_had_the_credential() {
        for text in with_helper(0) {
            assert!(text.contains("could have taken") && text.contains("no Landlock"), "{text}");
        }
        for text in with_helper(1) {
            assert!(text.ends_with("were kept from tofu's memory"), "{text}");
        }
    }
}
