//! Why a JSON body cannot be read, without repeating anything of it but the names of its fields.

use std::collections::BTreeMap;

use serde_json::value::RawValue;

use super::problem::{ApiError, Code};

/// The problem of a body that serde refused.
pub(super) fn explain(body: &[u8], error: &serde_json::Error) -> ApiError {
    let place = format!("line {} column {}", error.line(), error.column());
    if error.is_syntax() || error.is_eof() {
        return ApiError::new(Code::Malformed, format!("the body is not JSON: see {place}"));
    }
    let message = error.to_string();
    for kind in ["unknown field", "missing field", "duplicate field"] {
        if let Some(field) = message.strip_prefix(kind).and_then(|rest| quoted(rest)) {
            let expected =
                message.split_once("expected ").map(|(_, rest)| rest.split(" at line").next().unwrap_or(rest));
            let hint = expected.map(|expected| format!("; hint: expected {expected}")).unwrap_or_default();
            return ApiError::new(Code::Invalid, format!("{kind} `{field}`{hint}"));
        }
    }
    let wanted = message
        .starts_with("invalid ")
        .then(|| message.rsplit_once(", expected ").map(|(_, rest)| rest.split(" at line").next().unwrap_or(rest)))
        .flatten();
    let problem = match wanted {
        Some(wanted) => format!("expected {wanted} ({place})"),
        None => format!("not a value that is expected there ({place})"),
    };
    match field_at(body, error.line(), error.column()) {
        Some(field) => ApiError::invalid(&field, problem),
        None => ApiError::new(Code::Invalid, problem),
    }
}

/// A name between back quotes, if it looks like one of a field.
fn quoted(text: &str) -> Option<&str> {
    let (name, _) = text.trim_start().strip_prefix('`')?.split_once('`')?;
    is_field_name(name).then_some(name)
}

fn is_field_name(name: &str) -> bool {
    name.len() <= 64 && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-')
}

/// The field of the outermost object whose value a place in the text belongs to.
fn field_at(body: &[u8], line: usize, column: usize) -> Option<String> {
    let text = std::str::from_utf8(body).ok()?;
    let fields: BTreeMap<String, &RawValue> = serde_json::from_str(text).ok()?;
    let line_start: usize = text.split_inclusive('\n').take(line.saturating_sub(1)).map(str::len).sum();
    let at = line_start + column;
    let begins = |value: &RawValue| (value.get().as_ptr() as usize).saturating_sub(text.as_ptr() as usize);
    fields
        .iter()
        .find(|(_, value)| (begins(value)..=begins(value) + value.get().len()).contains(&at))
        .map(|(field, _)| field.clone())
        .filter(|field| is_field_name(field))
}

#[cfg(test)]
mod tests {
    use super::explain;
    use crate::protocol::api::{NewRegistryIntegration, NewWorkspace};

    fn told(body: &str) -> String {
        let error = serde_json::from_str::<NewRegistryIntegration>(body).unwrap_err();
        format!("{:?}", explain(body.as_bytes(), &error))
    }

    #[test]
    fn a_value_of_the_wrong_type_is_named_by_its_field_and_not_repeated() {
        let text = told(r#"{"name":"n","url":"u","username":"x","secret":"s","export_credentials":"hunter22"}"#);
        assert!(text.contains("`export_credentials`") && text.contains("a boolean"), "{text}");
        assert!(!text.contains("hunter22"), "{text}");
        let text = told("{\"name\":\"n\",\n\"username\":{\"hunter22\":1}}");
        assert!(text.contains("`username`") && !text.contains("hunter22"), "{text}");
    }

    #[test]
    fn unknown_and_missing_fields_are_named() {
        let text = told(r#"{"name":"n","uri":"u"}"#);
        assert!(text.contains("unknown field `uri`") && text.contains("`url`"), "{text}");
        let text = told(r#"{"name":"n"}"#);
        assert!(text.contains("missing field `url`"), "{text}");
        let text = told(r#"{"hunter22 \"is\" my secret":1}"#);
        assert!(!text.contains("hunter22"), "{text}");
    }

    #[test]
    fn what_is_not_json_is_told_by_its_place() {
        for body in ["", "{", "nonsense", "{\"name\":}"] {
            let error = serde_json::from_str::<NewWorkspace>(body).unwrap_err();
            let text = format!("{:?}", explain(body.as_bytes(), &error));
            assert!(text.contains("not JSON"), "{text}");
        }
    }
}
