//! One file of the operator's CLI configuration.
//!
//! Rule: its text is wiped when dropped.

use std::path::{Path, PathBuf};

use zeroize::Zeroizing;

use super::error::CliConfigurationError;
use super::item::{Broken, Item, Value, line_at};
use super::quoted::unquote;
use super::{json, native};

/// A file, scanned.
pub(super) struct SourceFile {
    pub(super) path: PathBuf,
    pub(super) text: Zeroizing<String>,
    pub(super) is_json: bool,
    pub(super) items: Vec<Item>,
}

impl SourceFile {
    pub(super) fn read(path: &Path) -> Result<Self, CliConfigurationError> {
        let text = std::fs::read_to_string(path)
            .map_err(|source| CliConfigurationError::Read { path: path.to_path_buf(), source })?;
        Self::scan(path, text)
    }

    /// As tofu decides it, a file whose first letter is `{` is JSON, whatever its name.
    pub(super) fn scan(path: &Path, text: String) -> Result<Self, CliConfigurationError> {
        let text = Zeroizing::new(text);
        let is_json = text.trim_start().starts_with('{');
        let items = if is_json { json::scan(&text) } else { native::scan(&text) };
        let items = items.map_err(|Broken { at, message }| {
            let line = line_at(&text, at);
            CliConfigurationError::Syntax { path: path.to_path_buf(), line, message }
        })?;
        Ok(Self { path: path.to_path_buf(), text, is_json, items })
    }

    pub(super) fn line(&self, item: &Item) -> usize {
        line_at(&self.text, item.range.start)
    }

    /// The bytes of an item as the operator wrote them.
    pub(super) fn bytes(&self, item: &Item) -> &str {
        &self.text[item.range.clone()]
    }

    /// A quoted value's text.
    pub(super) fn text_of(&self, value: &Value) -> Option<Zeroizing<String>> {
        match value {
            Value::Text(range) => unquote(&self.text[range.clone()]).map(Zeroizing::new),
            Value::List(_) | Value::Object(_) | Value::Other => None,
        }
    }
}
