//! The scanner of HCL 1 and its JSON, fed with anything.
//!
//! Rule: items stand in order, within the text and beside each other; every text that we make of it is read again, has
//! exactly one `oci_default_credentials`, names no other Docker file, and has no credentials where there must be none.

use std::path::Path;

use super::item::Value;
use super::source_file::SourceFile;
use super::{CliConfigurationError, KeptTokens, OperatorConfiguration};
use crate::secret::Secret;

/// The only Docker file that may be named.
const DOCKER: &str = "/secret/config.json";

/// One file; after a zero byte a second one.
pub(crate) fn scanner(data: &[u8]) {
    let mut files = Vec::new();
    for (number, text) in data.splitn(2, |byte| *byte == 0).enumerate() {
        let Ok(text) = str::from_utf8(text) else { return };
        match SourceFile::scan(Path::new(if number == 0 { "a.tfrc" } else { "b.tfrc" }), text.to_owned()) {
            Ok(file) => files.push(file),
            Err(error) => {
                let CliConfigurationError::Syntax { line, .. } = error else {
                    unreachable!("a scan reads nothing else")
                };
                assert!(line >= 1 && line <= text.matches('\n').count() + 1, "a line that is not there: {line}");
                return;
            }
        }
    }
    files.iter().for_each(well_placed);
    let operator = OperatorConfiguration { files };
    let _ = (operator.tokens(), operator.services());
    for (text, has_credentials) in [
        (operator.for_fetch(Path::new(DOCKER)), true),
        (operator.for_fetch_with(Path::new(DOCKER), &KeptTokens::none()), false),
        (operator.for_fetch_with(Path::new(DOCKER), &KeptTokens::Of(vec!["h".to_owned()])), true),
        (operator.for_steps(false, Path::new("/run/providers")), false),
    ] {
        if let Ok(text) = text {
            merged(&text, has_credentials);
        }
    }
}

fn well_placed(file: &SourceFile) {
    let mut end = 0;
    for item in &file.items {
        assert!(item.range.start >= end && item.range.end <= file.text.len(), "items overlap");
        assert!(!item.range.is_empty() && !item.keys.is_empty(), "an item of nothing");
        assert!(file.text.get(item.range.clone()).is_some(), "an item begins in the middle of a letter");
        end = item.range.end;
    }
}

fn merged(text: &Secret, has_credentials: bool) {
    let scanned = SourceFile::scan(Path::new("merged.tfrc"), text.expose().to_owned());
    let Ok(file) = scanned else { unreachable!("what was merged is not read again") };
    let count = |name: &str| file.items.iter().filter(|item| item.name() == name).count();
    assert!(count("oci_default_credentials") == 1, "not one block of ours");
    assert!(count("oci_credentials") == 0 && count("credentials_helper") == 0, "the operator's are left");
    assert!(has_credentials || count("credentials") == 0, "credentials are left");
    for block in file.items.iter().filter(|item| item.name() == "oci_default_credentials") {
        for argument in block.value.items() {
            let Value::List(named) = &argument.value else { unreachable!("no list of files") };
            let is_ours = |value: &Value| file.text_of(value).is_some_and(|path| *path == DOCKER);
            assert!(named.len() <= 1 && named.iter().all(is_ours), "another file is named");
        }
    }
}
