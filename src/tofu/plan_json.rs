//! The summary of a plan, from `tofu show -json`.
//!
//! Rule: only actions are kept, never a value, not even in an error: the document holds sensitive values in clear.

use std::fmt;
use std::io::{BufRead, BufReader, Read};
use std::marker::PhantomData;

use serde::de::{IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use thiserror::Error;

/// Why there is no summary.
#[derive(Debug, Error)]
pub enum PlanJsonError {
    /// Not the document that `show -json` writes, or cut off. The parser's own text is left out: it quotes values.
    #[error("the plan's JSON could not be read at line {line}, column {column}")]
    Read {
        /// Counted from 1.
        line: usize,
        /// Counted from 1.
        column: usize,
    },
    /// JSON, but of a plan in another format.
    #[error("the plan's JSON has the format version {0:?}")]
    Format(String),
    /// Somebody who cannot be killed has it open, so that it does not come to an end.
    #[error("the plan's JSON was not read, because a process of the step that does not die holds it")]
    Held,
}

impl PlanJsonError {
    /// What a person can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Read { .. } | Self::Held => None,
            Self::Format(_) => Some("this version of OpenTofu is newer than this nigari; update nigari".to_owned()),
        }
    }
}

/// How many resources a plan touches. A replacement counts as one to add and one to destroy, as tofu counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanSummary {
    /// To be created.
    pub add: u64,
    /// To be changed in place.
    pub change: u64,
    /// To be destroyed.
    pub destroy: u64,
    /// To be taken into the state without being made.
    pub import: u64,
    /// To be taken out of the state without being destroyed.
    pub forget: u64,
    /// Outputs whose value changes.
    pub outputs: u64,
}

impl PlanSummary {
    /// Whether anything is counted. The plan's exit code decides whether there are changes; this is for showing them.
    pub fn has_changes(&self) -> bool {
        *self != Self::default()
    }

    fn count_resource(&mut self, change: &ResourceChange) {
        for action in &change.change.actions {
            match action {
                Action::Create => self.add += 1,
                Action::Update => self.change += 1,
                Action::Delete => self.destroy += 1,
                Action::Forget => self.forget += 1,
                Action::Other => {}
            }
        }
        self.import += u64::from(change.change.importing.is_some());
    }

    fn count_output(&mut self, change: &Change) {
        self.outputs += u64::from(change.actions.iter().any(|action| *action != Action::Other));
    }
}

/// Reads what `tofu show -json PLAN` writes, as it comes, keeping only the counts. Lines before the JSON are passed
/// over: tofu puts warnings about its CLI configuration there.
pub fn summarize(json: impl Read) -> Result<PlanSummary, PlanJsonError> {
    let mut json = BufReader::new(json);
    while json.fill_buf().is_ok_and(|next| next.first().is_some_and(|byte| *byte != b'{')) {
        if json.skip_until(b'\n').is_err() {
            break;
        }
    }
    let document: Document = serde_json::from_reader(json)
        .map_err(|error| PlanJsonError::Read { line: error.line(), column: error.column() })?;
    if !document.format_version.starts_with("1.") {
        return Err(PlanJsonError::Format(document.format_version));
    }
    let mut summary = document.resource_changes.0;
    summary.outputs = document.output_changes.0.outputs;
    Ok(summary)
}

#[derive(Deserialize)]
struct Document {
    format_version: String,
    #[serde(default)]
    resource_changes: Counted<ResourceChange>,
    #[serde(default)]
    output_changes: Counted<Change>,
}

#[derive(Deserialize)]
struct ResourceChange {
    change: Change,
}

#[derive(Deserialize)]
struct Change {
    actions: Vec<Action>,
    importing: Option<IgnoredAny>,
}

#[derive(Deserialize, PartialEq, Eq)]
#[serde(rename_all = "lowercase")]
enum Action {
    Create,
    Update,
    Delete,
    Forget,
    /// `no-op`, `read`, and what later versions may add.
    #[serde(other)]
    Other,
}

/// Changes that were counted and let go, one by one.
struct Counted<T>(PlanSummary, PhantomData<T>);

impl<T> Default for Counted<T> {
    fn default() -> Self {
        Self(PlanSummary::default(), PhantomData)
    }
}

impl<'de> Deserialize<'de> for Counted<ResourceChange> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_seq(Counter(Self::default()))
    }
}

impl<'de> Deserialize<'de> for Counted<Change> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_map(Counter(Self::default()))
    }
}

struct Counter<T>(Counted<T>);

impl<'de> Visitor<'de> for Counter<ResourceChange> {
    type Value = Counted<ResourceChange>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a list of resource changes")
    }

    fn visit_seq<A: SeqAccess<'de>>(mut self, mut changes: A) -> Result<Self::Value, A::Error> {
        while let Some(change) = changes.next_element()? {
            self.0.0.count_resource(&change);
        }
        Ok(self.0)
    }
}

impl<'de> Visitor<'de> for Counter<Change> {
    type Value = Counted<Change>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a map of output changes")
    }

    fn visit_map<A: MapAccess<'de>>(mut self, mut changes: A) -> Result<Self::Value, A::Error> {
        while let Some((IgnoredAny, change)) = changes.next_entry()? {
            self.0.0.count_output(&change);
        }
        Ok(self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::{PlanJsonError, PlanSummary, summarize};

    fn plan(resources: &str, outputs: &str) -> PlanSummary {
        let json = format!(
            r#"{{"format_version":"1.2","planned_values":{{"x":["secret"]}},"resource_changes":[{resources}],
               "output_changes":{{{outputs}}},"timestamp":"2026-11-21T09:17:48Z","errored":false}}"#
        );
        summarize(json.as_bytes()).unwrap()
    }

    #[test]
    fn actions_are_counted_as_tofu_counts_them() {
        let resource =
            |actions: &str| format!(r#"{{"address":"a.b","change":{{"actions":[{actions}],"after":{{"p":"s"}}}}}}"#);
        let changes = [
            r#""create""#,
            r#""update""#,
            r#""delete""#,
            r#""delete","create""#,
            r#""create","delete""#,
            r#""no-op""#,
            r#""read""#,
            r#""forget""#,
            r#""somersault""#,
        ]
        .map(resource)
        .join(",");
        let imported = r#"{"change":{"actions":["no-op"],"importing":{"id":"i-1"}}}"#;
        let outputs = r#""a":{"actions":["create"],"after":"s"},"b":{"actions":["no-op"]},"c":{"actions":["delete"]}"#;
        assert_eq!(
            plan(&format!("{changes},{imported}"), outputs),
            PlanSummary { add: 3, change: 1, destroy: 3, import: 1, forget: 1, outputs: 2 }
        );
    }

    #[test]
    fn an_empty_plan_has_no_changes() {
        assert!(!plan("", "").has_changes());
        for text in [r#"{"format_version":"1.2"}"#, "\nWarning: x\n\n{\"format_version\":\"1.2\"}"] {
            assert!(!summarize(text.as_bytes()).unwrap().has_changes());
        }
        assert!(plan("", r#""a":{"actions":["update"]}"#).has_changes());
    }

    #[test]
    fn what_cannot_be_read_is_an_error_without_a_value_in_it() {
        for json in [
            "",
            "Error: no plan",
            "{}",
            r#"{"format_version":"1.2","resource_changes":"hunter22"}"#,
            r#"{"format_version":"1.2","resource_changes":[{"change":{"actions":["create"],"after":"hunter22""#,
            r#"{"format_version":"1.2","output_changes":{"a":{"actions":"hunter22"}}}"#,
        ] {
            let error = summarize(json.as_bytes()).unwrap_err();
            assert!(matches!(error, PlanJsonError::Read { .. }), "{json}");
            assert!(!format!("{error:?} {error}").contains("hunter22"));
        }
        assert!(matches!(summarize(&br#"{"format_version":"2.0"}"#[..]), Err(PlanJsonError::Format(_))));
    }
}
