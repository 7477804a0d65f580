//! What must not be told of a run: the needles of the redactor.
//!
//! Rule: each secret is known here before anything that has it can write: variables before the first step, credentials
//! before their delivery, the gateway's password before a process has it. What a delivery makes itself (the broker's
//! nonce, tokens) it makes known itself.

use crate::gateway::Gateway;
use crate::protocol::agent::{Claim, CredentialsAnswer, Failure, Receipt};
use crate::redact::{Needles, Redactions};
use crate::registry::OutwardProxy;
use crate::secret::Secret;
use crate::tofu::cli_configuration::OperatorConfiguration;

/// The values of the run's sensitive variables.
pub(crate) fn of_claim(claim: &Claim) -> Needles {
    let mut needles = Needles::new();
    for variable in claim.variables.iter().filter(|variable| variable.sensitive) {
        needles.secret(&variable.value);
    }
    needles
}

/// The run's registry credentials.
pub(crate) fn of_credentials(answer: &CredentialsAnswer) -> Needles {
    let mut needles = Needles::new();
    for credential in &answer.credentials {
        needles.login(&credential.username, &credential.secret);
    }
    needles
}

/// The tokens of the operator's CLI configuration, whoever comes to have them.
pub(crate) fn of_operator(operator: &OperatorConfiguration) -> Needles {
    let mut needles = Needles::new();
    for (_, token) in operator.tokens() {
        needles.secret(&token);
    }
    needles
}

/// The logins of the proxies that the operator passes to steps.
pub(crate) fn of_proxies<'p>(passed: impl IntoIterator<Item = &'p (String, Secret)>) -> Needles {
    let mut needles = Needles::new();
    for (_, url) in passed.into_iter().filter(|(name, _)| name.to_ascii_uppercase().ends_with("_PROXY")) {
        if let Some((user, password)) = OutwardProxy::login_of(url) {
            needles.login(&user, &password);
        }
    }
    needles
}

/// The password of the run's own door.
pub(crate) fn of_gateway(gateway: &Gateway) -> Needles {
    let mut needles = Needles::new();
    let (user, nonce) = gateway.login();
    needles.login(user, &nonce);
    needles
}

/// A failure as it may be told.
pub(crate) fn hide_in_failure(failure: &mut Failure, redactions: &Redactions) {
    failure.message = redactions.text(&failure.message);
    failure.hint = failure.hint.take().map(|hint| redactions.text(&hint));
}

/// A receipt as it may be told: modules, hosts and notes come from what the configuration says.
pub(crate) fn hide_in_receipt(receipt: &mut Receipt, redactions: &Redactions) {
    let whole_run = receipt.whole_run.as_mut().map(|whole_run| &mut whole_run.stay);
    for stay in [&mut receipt.stay].into_iter().chain(whole_run) {
        let hosts = stay.used.iter_mut().map(|used| &mut used.host);
        for text in stay.pulled.iter_mut().chain(&mut stay.notes).chain(hosts) {
            *text = redactions.text(text);
        }
    }
    for text in receipt.modules.iter_mut().chain(&mut receipt.providers) {
        *text = redactions.text(text);
    }
}

#[cfg(test)]
mod tests {
    use super::{hide_in_failure, hide_in_receipt, of_proxies};
    use crate::protocol::agent::{Failure, FailureClass, Receipt, ReceiptEnd, RegistryUse, Stay, WholeRun};
    use crate::protocol::run::Step;
    use crate::redact::{Needles, Redactions};
    use crate::secret::Secret;

    fn redactions() -> Redactions {
        let (redactions, mut needles) = (Redactions::new(), Needles::new());
        needles.login("robot", &Secret::from("hunter22"));
        redactions.add(needles);
        redactions
    }

    #[test]
    fn the_passwords_of_passed_proxies_are_known() {
        let named = |name: &str, url: &str| (name.to_owned(), Secret::from(url));
        let redactions = Redactions::new();
        redactions.add(of_proxies(&[
            named("https_proxy", "http://u:p%40ssword@proxy.example:3128"),
            named("ALL_PROXY", "socks5://v:another-one@proxy.example"),
            named("NO_PROXY", "a.example,b.example"),
            named("HTTP_PROXY", "proxy.example:3128"),
        ]));
        let told = redactions.text("p%40ssword p@ssword another-one dTpwQHNzd29yZA== proxy.example");
        assert_eq!(told, "(redacted) (redacted) (redacted) (redacted) proxy.example");
    }

    #[test]
    fn a_failure_is_told_without_secrets() {
        let (message, hint) = ("it is hunter22".to_owned(), Some("not aHVudGVyMjI=".to_owned()));
        let mut failure = Failure { class: FailureClass::Configuration, step: None, message, hint };
        hide_in_failure(&mut failure, &redactions());
        assert_eq!((failure.message.as_str(), failure.hint.as_deref()), ("it is (redacted)", Some("not (redacted)")));
    }

    #[test]
    fn a_receipt_is_told_without_secrets() {
        let secret = || "hunter22.example.com".to_owned();
        let used = RegistryUse { host: secret(), integrations: Vec::new(), requests: 1, bytes: None };
        let stay = Stay { used: vec![used], pulled: vec![secret()], notes: vec![secret()], ..Stay::default() };
        let whole_run = WholeRun { until: Step::Apply, stay: stay.clone() };
        let mut receipt = Receipt {
            delivery: "file".into(),
            sandbox: "process".into(),
            meaning: String::new(),
            stay,
            end: ReceiptEnd::StepOver,
            wiped: true,
            verified_by: String::new(),
            modules: vec![secret()],
            providers: vec![secret()],
            whole_run: Some(whole_run),
        };
        hide_in_receipt(&mut receipt, &redactions());
        let json = serde_json::to_string(&receipt).unwrap();
        assert!(!json.contains("hunter22") && json.matches("(redacted).example.com").count() == 8, "{json}");
    }
}
