//! What a registry asks for: `WWW-Authenticate` (RFC 9110, section 11.6.1).
//!
//! Rule: several headers and several challenges in one are understood, quoted strings with escapes too; what is broken
//! ends the reading and is never guessed at.

use reqwest::header::{HeaderMap, WWW_AUTHENTICATE};

/// Challenges that are looked at; more are no registry's.
const MOST: usize = 16;

/// One challenge.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Challenge {
    /// The scheme in lower case: `basic`, `bearer`, …
    pub scheme: String,
    /// Name (lower case) and value of each parameter, in order.
    pub parameters: Vec<(String, String)>,
}

impl Challenge {
    /// A parameter's value.
    pub fn parameter(&self, name: &str) -> Option<&str> {
        self.parameters.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str())
    }
}

/// All challenges of an answer in order.
pub fn challenges(headers: &HeaderMap) -> Vec<Challenge> {
    let mut found = Vec::new();
    for value in headers.get_all(WWW_AUTHENTICATE) {
        let Ok(text) = value.to_str() else { continue };
        found.extend(Reader(text).challenges());
        if found.len() >= MOST {
            break;
        }
    }
    found.truncate(MOST);
    found
}

/// Reads one header's value from the front.
struct Reader<'t>(&'t str);

impl Reader<'_> {
    fn challenges(mut self) -> Vec<Challenge> {
        let mut found: Vec<Challenge> = Vec::new();
        loop {
            self.skip(|c| c == ',' || c == ' ' || c == '\t');
            let Some(word) = self.token() else { break };
            let before = self.0;
            self.skip(blank);
            // A parameter goes on with `=`; anything else begins a challenge.
            if self.0.starts_with('=') && found.last().is_some() {
                let Some(value) = self.value() else { break };
                if let Some(challenge) = found.last_mut() {
                    challenge.parameters.push((word.to_ascii_lowercase(), value));
                }
            } else {
                self.0 = before;
                found.push(Challenge { scheme: word.to_ascii_lowercase(), parameters: Vec::new() });
                self.token68();
            }
        }
        found
    }

    fn skip(&mut self, matching: impl Fn(char) -> bool) {
        self.0 = self.0.trim_start_matches(matching);
    }

    /// A token of RFC 9110, section 5.6.2.
    fn token(&mut self) -> Option<String> {
        let allowed = |c: char| c.is_ascii_alphanumeric() || "!#$%&'*+-.^_`|~".contains(c);
        let end = self.0.find(|c| !allowed(c)).unwrap_or(self.0.len());
        let (token, rest) = self.0.split_at(end);
        self.0 = rest;
        (!token.is_empty()).then(|| token.to_owned())
    }

    /// `= value`, quoted or not; behind the name.
    fn value(&mut self) -> Option<String> {
        self.skip(|c| c == '=' || blank(c));
        let Some(quoted) = self.0.strip_prefix('"') else { return self.token() };
        let mut value = String::new();
        let mut escaped = false;
        for (at, c) in quoted.char_indices() {
            match c {
                _ if escaped => {
                    value.push(c);
                    escaped = false;
                }
                '\\' => escaped = true,
                '"' => {
                    self.0 = quoted.get(at + 1..).unwrap_or_default();
                    return Some(value);
                }
                _ => value.push(c),
            }
        }
        None
    }

    /// Skips what schemes like Negotiate put in place of parameters.
    fn token68(&mut self) {
        let before = self.0;
        self.skip(blank);
        let allowed = |c: char| c.is_ascii_alphanumeric() || "-._~+/".contains(c);
        let rest = self.0.trim_start_matches(allowed).trim_start_matches('=');
        let ends = rest.trim_start_matches(blank);
        if ends.is_empty() || ends.starts_with(',') {
            self.0 = rest;
        } else {
            self.0 = before;
        }
    }
}

fn blank(c: char) -> bool {
    c == ' ' || c == '\t'
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use reqwest::header::{HeaderMap, HeaderValue, WWW_AUTHENTICATE};

    use super::{Challenge, challenges};

    fn read(values: &[&str]) -> Vec<Challenge> {
        let mut headers = HeaderMap::new();
        for value in values {
            headers.append(WWW_AUTHENTICATE, HeaderValue::from_str(value).unwrap());
        }
        challenges(&headers)
    }

    fn schemes(values: &[&str]) -> Vec<String> {
        read(values).into_iter().map(|challenge| challenge.scheme).collect()
    }

    #[test]
    fn what_registries_send_is_read() {
        let hub = r#"Bearer realm="https://auth.docker.io/token",service="registry.docker.io",scope="repository:a/b:pull,push""#;
        let [challenge] = &read(&[hub])[..] else { panic!() };
        assert_eq!(challenge.scheme, "bearer");
        assert_eq!(challenge.parameter("realm"), Some("https://auth.docker.io/token"));
        assert_eq!(challenge.parameter("scope"), Some("repository:a/b:pull,push"));
        assert_eq!(challenge.parameter("error"), None);
        assert_eq!(read(&[r#"BASIC Realm="a \"b\" \\ c""#])[0].parameter("realm"), Some(r#"a "b" \ c"#));
        assert_eq!(read(&["Basic realm=plain"])[0].parameter("realm"), Some("plain"));
    }

    #[test]
    fn several_challenges_keep_their_order_and_parameters() {
        assert_eq!(schemes(&[r#"Bearer realm="r""#, r#"Basic realm="b""#]), ["bearer", "basic"]);
        let one = read(&[
            r#"Negotiate, NTLM TlRMTVNTUAAB==, Basic realm="x, Bearer y=z" , charset="UTF-8",Bearer realm="r""#,
        ]);
        let names: Vec<_> = one.iter().map(|challenge| challenge.scheme.as_str()).collect();
        assert_eq!(names, ["negotiate", "ntlm", "basic", "bearer"]);
        assert_eq!(one[2].parameter("realm"), Some("x, Bearer y=z"));
        assert_eq!(one[2].parameter("charset"), Some("UTF-8"));
        assert_eq!(one[3].parameter("realm"), Some("r"));
    }

    #[test]
    fn what_is_broken_is_not_guessed() {
        assert_eq!(schemes(&[]), [""; 0]);
        assert_eq!(schemes(&[""]), [""; 0]);
        assert_eq!(schemes(&["\"quoted\""]), [""; 0]);
        let cut = read(&[r#"Bearer realm="https://never.ends"#]);
        assert_eq!(cut[0].parameter("realm"), None);
        assert!(schemes(&[&"a,".repeat(1000)]).len() <= 16);
    }

    proptest! {
        #[test]
        fn nothing_makes_it_stumble(text in "[ -~]{0,200}") {
            let _ = read(&[&text]);
        }
    }
}
