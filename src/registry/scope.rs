//! What a token is asked for: `repository:<name>:pull` (distribution's token specification).
//!
//! Rule: never more than pull is asked for, whatever the challenge suggests, but for other repositories that it names.

/// Scopes of one repository's pull, together with what the challenge names.
pub fn pull_scopes(repository: &str, challenged: Option<&str>) -> Vec<String> {
    let mut scopes = vec![format!("repository:{repository}:pull")];
    for scope in challenged.unwrap_or_default().split(' ') {
        if let Some(scope) = reduced(scope).filter(|scope| !scopes.contains(scope)) {
            scopes.push(scope);
        }
    }
    scopes
}

/// A repository's scope, reduced to pull.
fn reduced(scope: &str) -> Option<String> {
    let name = scope.strip_prefix("repository:")?;
    let (name, actions) = name.rsplit_once(':')?;
    actions.split(',').any(|action| action == "pull" || action == "*").then(|| format!("repository:{name}:pull"))
}

/// A repository, and a tag or digest in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// `team/net`.
    pub repository: String,
    /// `1.0.0` or `sha256:…`.
    pub reference: String,
}

impl Reference {
    /// Reads `team/net`, `team/net:1.0.0` or `team/net@sha256:…` by the grammar of the distribution specification;
    /// without tag it is `latest`, as with OpenTofu.
    pub fn parse(text: &str) -> Option<Self> {
        let text = text.trim();
        let (repository, reference) = match (text.split_once('@'), text.rsplit_once(':')) {
            (Some((repository, digest)), _) => (repository, digest),
            (None, Some((repository, tag))) => (repository, tag),
            (None, None) => (text, "latest"),
        };
        let fits = is_repository(repository) && (is_tag(reference) || is_digest(reference));
        fits.then(|| Self { repository: repository.to_owned(), reference: reference.to_owned() })
    }
}

/// Whether a text is a repository, by the grammar of the distribution specification.
pub fn is_repository(text: &str) -> bool {
    text.len() <= 255
        && text.split('/').all(|word| {
            let bytes = word.as_bytes();
            let plain = |b: &u8| b.is_ascii_lowercase() || b.is_ascii_digit();
            bytes.first().is_some_and(plain)
                && bytes.last().is_some_and(plain)
                && bytes.iter().all(|b| plain(b) || matches!(b, b'.' | b'_' | b'-'))
        })
}

fn is_tag(text: &str) -> bool {
    let word = |b: u8| b.is_ascii_alphanumeric() || b == b'_';
    text.len() <= 128
        && text.bytes().next().is_some_and(word)
        && text.bytes().all(|b| word(b) || matches!(b, b'.' | b'-'))
}

fn is_digest(text: &str) -> bool {
    let hex = |text: &str, digits| text.len() == digits && text.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
    match text.split_once(':') {
        Some(("sha256", digits)) => hex(digits, 64),
        Some(("sha512", digits)) => hex(digits, 128),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::{Reference, pull_scopes};

    #[test]
    fn only_pull_is_asked_for() {
        assert_eq!(pull_scopes("a/b", None), ["repository:a/b:pull"]);
        assert_eq!(pull_scopes("a/b", Some("repository:a/b:pull,push")), ["repository:a/b:pull"]);
        assert_eq!(
            pull_scopes("a/b", Some("registry:catalog:* repository:c:delete,pull repository:d:push nonsense")),
            ["repository:a/b:pull", "repository:c:pull"]
        );
    }

    #[test]
    fn references_are_read_by_the_grammar() {
        let read = |text: &str| Reference::parse(text).map(|found| (found.repository, found.reference));
        let pair = |a: &str, b: &str| Some((a.to_owned(), b.to_owned()));
        assert_eq!(read("team/net"), pair("team/net", "latest"));
        assert_eq!(read(" team/net:1.0.0 "), pair("team/net", "1.0.0"));
        let digest = format!("sha256:{}", "a".repeat(64));
        assert_eq!(read(&format!("team/net@{digest}")), pair("team/net", &digest));
        for text in
            ["", "Team/net", "a//b", "../b", "a/..", "a:", "a:b/c", "a@sha256:12", "a?b", "a b", "a:é", "a@tag:x"]
        {
            assert_eq!(read(text), None, "{text}");
        }
    }
}
