//! What the environment of a step beside a broker says of the operator's own proxies.
//!
//! Rule: everything over `https` goes to the broker, whatever the operator excepts: that is for the broker to know. Over
//! plain HTTP a step goes as it would have gone without us, as far as one list of exceptions for both can say it, and a
//! proxy that nothing needs any more is not told.

use crate::registry::{Exceptions, OutwardProxy};
use crate::secret::Secret;

/// In the order in which Go looks for them.
pub(super) const EXCEPTIONS: [&str; 2] = ["NO_PROXY", "no_proxy"];
/// For everything that has no proxy of its own; Go does not know it.
pub(super) const EVERYTHING: [&str; 2] = ["ALL_PROXY", "all_proxy"];
const PLAIN: [&str; 2] = ["HTTP_PROXY", "http_proxy"];
/// An exception that is none: were the variable empty, Go would read the other spelling.
const NO_EXCEPTION: &str = "none.invalid";

/// The variables of a step to which the operator passes these.
pub(super) fn variables(passed: &[(String, Secret)]) -> Vec<(String, Secret)> {
    let exceptions = value(passed, &EXCEPTIONS).map(OutwardProxy::exceptions_of).unwrap_or_default();
    let has_proxy = value(passed, &PLAIN).is_some();
    let list = list(has_proxy.then_some(&exceptions));
    let mut variables: Vec<_> =
        EXCEPTIONS.iter().map(|name| ((*name).to_owned(), Secret::from(list.as_str()))).collect();
    // It may have a password, and the broker goes through it.
    let mut needless = EVERYTHING.to_vec();
    if exceptions.is_all() {
        needless.extend(PLAIN);
    }
    let needless = needless.into_iter().filter(|name| value(passed, &[name]).is_some());
    variables.extend(needless.map(|name| (name.to_owned(), Secret::from(""))));
    variables
}

/// The first of these names that has a value.
pub(super) fn value<'p>(passed: &'p [(String, Secret)], names: &[&str]) -> Option<&'p Secret> {
    let of = |name: &&str| passed.iter().find(|(known, value)| known == name && !value.is_empty());
    names.iter().find_map(of).map(|(_, value)| value)
}

fn list(exceptions: Option<&Exceptions>) -> String {
    let narrowed = exceptions.map(Exceptions::of_plain_http).unwrap_or_default();
    [NO_EXCEPTION.to_owned()].into_iter().chain(narrowed).collect::<Vec<_>>().join(",")
}

#[cfg(test)]
mod tests {
    use super::variables;

    fn of(passed: &[(&str, &str)]) -> Vec<(String, String)> {
        let passed: Vec<_> = passed.iter().map(|(name, value)| ((*name).to_owned(), (*value).into())).collect();
        variables(&passed).into_iter().map(|(name, value)| (name, value.expose().to_owned())).collect()
    }

    fn pairs(pairs: &[(&str, &str)]) -> Vec<(String, String)> {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn nothing_over_https_is_excepted_and_over_plain_http_what_the_operator_says() {
        let none = pairs(&[("NO_PROXY", "none.invalid"), ("no_proxy", "none.invalid")]);
        assert_eq!(of(&[]), none);
        assert_eq!(of(&[("HTTPS_PROXY", "http://p"), ("NO_PROXY", "*.corp.example")]), none);
        let list = "none.invalid,.corp.example:80,10.1.2.3:80";
        let narrowed = pairs(&[("NO_PROXY", list), ("no_proxy", list)]);
        assert_eq!(of(&[("http_proxy", "http://p"), ("no_proxy", "*.corp.example,10.1.2.3,10.0.0.0/8")]), narrowed);
    }

    #[test]
    fn a_proxy_that_nothing_needs_is_not_told() {
        let all = of(&[("all_proxy", "http://u:p@p"), ("ALL_PROXY", "http://u:p@p"), ("HTTP_PROXY", "http://p")]);
        assert_eq!(all[2..], pairs(&[("ALL_PROXY", ""), ("all_proxy", "")]));
        let plain = of(&[("HTTP_PROXY", "http://u:p@p"), ("http_proxy", "http://u:p@p"), ("NO_PROXY", "*")]);
        assert_eq!(plain[2..], pairs(&[("HTTP_PROXY", ""), ("http_proxy", "")]));
    }
}
