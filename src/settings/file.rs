//! TOML files.
//!
//! Rule: an unknown key is an error with its line and the keys that are allowed; every key is looked at, so that all
//! problems come at once.

use std::path::Path;

use serde::de::DeserializeOwned;
use toml::Spanned;
use toml::de::{DeTable, Deserializer, Error};

use super::{SettingsError, SettingsProblem};

/// One layer of settings: what a file says, or what flags and environment say. A field that says nothing is `None`.
pub(super) trait Layer: DeserializeOwned + Default {
    /// This layer, with `below` where it says nothing.
    #[must_use]
    fn over(self, below: Self) -> Self;
}

/// Declares a layer: every field optional, read from TOML (snake case), from flags (`--kebab-case`) and from the
/// environment (where `env` is given). The first line of a field's comment is its help.
macro_rules! layer {
    ($(#[$meta:meta])* pub struct $name:ident { $($(#[$field_meta:meta])* $field:ident: $type:ty,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Default, serde::Deserialize, clap::Args)]
        #[serde(default, deny_unknown_fields)]
        pub struct $name { $($(#[$field_meta])* pub $field: Option<$type>,)* }

        impl $crate::settings::file::Layer for $name {
            fn over(self, below: Self) -> Self {
                Self { $($field: self.$field.or(below.$field),)* }
            }
        }
    };
}
pub(super) use layer;

/// Reads the file at `path`; no path, no settings.
pub(super) fn read<L: Layer>(path: Option<&Path>) -> Result<L, SettingsError> {
    let Some(path) = path else { return Ok(L::default()) };
    let text = std::fs::read_to_string(path).map_err(|error| {
        SettingsProblem::new(
            path.display().to_string(),
            format!("cannot be read: {error}"),
            "give the path of a TOML file with `--config`, or leave it out",
        )
    })?;
    parse(&path.display().to_string(), &text)
}

fn parse<L: Layer>(name: &str, text: &str) -> Result<L, SettingsError> {
    let (table, errors) = DeTable::parse_recoverable(text);
    let problem = |error: &Error| describe(name, text, error);
    if !errors.is_empty() {
        return Err(SettingsError { problems: errors.iter().map(problem).collect() });
    }
    let mut problems = Vec::new();
    let mut settings = L::default();
    let span = table.span();
    for (key, value) in table.into_inner() {
        let mut alone = DeTable::new();
        // Inside a table the library knows where the key stands, at the top it does not.
        let place = key.span();
        alone.insert(key, value);
        match L::deserialize(Deserializer::from(Spanned::new(span.clone(), alone))) {
            Ok(layer) => settings = settings.over(layer),
            Err(error) => {
                let at = error.span().filter(|span| *span != (0..text.len())).unwrap_or(place);
                problems.push((at.start, describe_at(name, text, at.start, error.message())));
            }
        }
    }
    problems.sort_by_key(|(start, _)| *start);
    SettingsError::unless_empty(problems.into_iter().map(|(_, problem)| problem).collect(), settings)
}

fn describe(name: &str, text: &str, error: &Error) -> SettingsProblem {
    describe_at(name, text, error.span().map_or(0, |span| span.start), error.message())
}

fn describe_at(name: &str, text: &str, start: usize, message: &str) -> SettingsProblem {
    let line = text.bytes().take(start).filter(|&byte| byte == b'\n').count() + 1;
    let place = format!("{name}:{line}");
    // serde's own words: "unknown field `x`, expected one of `a`, `b`".
    if let Some((unknown, allowed)) = message.strip_prefix("unknown field ").and_then(|rest| rest.split_once(", ")) {
        let allowed = allowed.trim_start_matches("expected ").trim_start_matches("one of ");
        let known: Vec<&str> = allowed.split(", ").map(|key| key.trim_matches('`')).collect();
        let hint = match nearest(unknown.trim_matches('`'), &known) {
            Some(near) => format!("did you mean `{near}`? the keys are: {}", known.join(", ")),
            None => format!("the keys are: {}", known.join(", ")),
        };
        return SettingsProblem::new(place, format!("unknown key {unknown}"), hint);
    }
    match message.split_once("; hint: ") {
        Some((message, hint)) => SettingsProblem::new(place, message, hint),
        None => SettingsProblem { place, message: message.lines().collect::<Vec<_>>().join(" "), hint: None },
    }
}

/// The known key that differs from `unknown` in at most two letters, if there is one.
fn nearest<'a>(unknown: &str, known: &[&'a str]) -> Option<&'a str> {
    known
        .iter()
        .map(|key| (distance(unknown, &key.replace('-', "_")), *key))
        .min()
        .filter(|(d, _)| *d <= 2)
        .map(|(_, key)| key)
}

/// Letters to change, add or take away (Levenshtein).
fn distance(left: &str, right: &str) -> usize {
    let mut row: Vec<usize> = (0..=right.len()).collect();
    for (i, a) in left.bytes().enumerate() {
        let mut diagonal = std::mem::replace(&mut row[0], i + 1);
        for (j, b) in right.bytes().enumerate() {
            let change = diagonal + usize::from(!a.eq_ignore_ascii_case(&b));
            diagonal = row[j + 1];
            row[j + 1] = change.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[right.len()]
}

#[cfg(test)]
mod tests {
    use serde::Deserialize;

    use super::{Layer, parse};
    use crate::settings::duration::Span;

    #[derive(Debug, Default, Deserialize, PartialEq)]
    #[serde(default, deny_unknown_fields)]
    struct Sample {
        listen: Option<String>,
        grace: Option<Span>,
        pass: Option<Vec<String>>,
    }

    impl Layer for Sample {
        fn over(self, below: Self) -> Self {
            Self {
                listen: self.listen.or(below.listen),
                grace: self.grace.or(below.grace),
                pass: self.pass.or(below.pass),
            }
        }
    }

    #[test]
    fn a_good_file_is_read_whole() {
        let sample: Sample = parse("x.toml", "listen = \"a\"\ngrace = \"30s\"\npass = [\"A\"]\n").unwrap();
        assert_eq!(sample.listen.as_deref(), Some("a"));
        assert_eq!(sample.grace.unwrap().to_string(), "30s");
        assert_eq!(sample.pass.unwrap(), ["A"]);
    }

    #[test]
    fn every_problem_comes_at_once_with_its_line_and_the_allowed_keys() {
        let text = "# first\nlisten = 3\n\nlistne = \"a\"\ngrace = \"30\"\nwhatever = { a = 1 }\n";
        let error = parse::<Sample>("x.toml", text).unwrap_err();
        let places: Vec<&str> = error.problems.iter().map(|problem| problem.place.as_str()).collect();
        assert_eq!(places, ["x.toml:2", "x.toml:4", "x.toml:5", "x.toml:6"], "{error}");
        let text = error.to_string();
        assert!(text.contains("unknown key `listne`\nhint: did you mean `listen`?"), "{text}");
        assert!(text.contains("the keys are: listen, grace, pass"), "{text}");
        assert!(text.contains("`30` is not a length of time\nhint: "), "{text}");
    }

    #[test]
    fn what_is_no_toml_is_told_with_its_line() {
        let error = parse::<Sample>("x.toml", "listen = \"a\"\n= 3\ngrace = \n").unwrap_err();
        assert!(error.problems.iter().any(|problem| problem.place == "x.toml:2"), "{error}");
    }
}
