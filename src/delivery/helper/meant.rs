//! Which of several credentials for one host the credential helper gives.
//!
//! Rule: tofu asks for a host alone. So only the one for the whole host can be meant, or the only one there is, whatever
//! its path; where several have a path each, nobody's is given.

use crate::protocol::registry_address::RegistryAddress;
use crate::registry::is_loopback_host;

/// Who is meant by a host.
#[derive(Debug, PartialEq, Eq)]
pub enum Meant<T> {
    /// This one.
    One(T),
    /// One of these, and nobody can tell which: each is for a path of its own.
    Several(Vec<T>),
}

/// Who is meant among all that are for one host; `None` without any.
pub fn meant<T>(mut of_host: Vec<T>, address: impl Fn(&T) -> &RegistryAddress) -> Option<Meant<T>> {
    if let Some(whole) = of_host.iter().position(|one| address(one).path().is_none()) {
        return Some(Meant::One(of_host.swap_remove(whole)));
    }
    if of_host.len() > 1 { Some(Meant::Several(of_host)) } else { of_host.pop().map(Meant::One) }
}

/// Why none of these integrations is given for the host, and what to do.
pub fn several(host: &str, names: &[String]) -> String {
    let hint = if is_loopback_host(host) {
        "give the registry a name such as `registry.localhost`, which the delivery `broker` can serve"
    } else {
        "the delivery `broker` can choose by path"
    };
    format!(
        "the registry integrations {} are for different paths of {host}, and the delivery `helper` cannot tell which is \
         meant, because OpenTofu asks for a host alone; hint: {hint}",
        names.join(", ")
    )
}
