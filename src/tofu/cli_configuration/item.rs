//! What a scanner finds in a CLI configuration: items with their place in the text.
//!
//! Rule: nothing is copied out of the text but keys; values stay where they are, because they may be tokens.

use std::ops::Range;

/// `KEY = VALUE`, `KEY "LABEL" { … }`, or a member of a JSON object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Item {
    /// From the first key to the end of the value.
    pub(super) range: Range<usize>,
    /// Name and labels, quotes and escapes resolved.
    pub(super) keys: Vec<String>,
    /// Whether there is an equals sign (native syntax only).
    pub(super) assigned: bool,
    /// What stands behind.
    pub(super) value: Value,
}

/// A value, as far as it matters.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Value {
    /// A quoted string with its quotes.
    Text(Range<usize>),
    /// Values in brackets.
    List(Vec<Value>),
    /// Items in braces.
    Object(Vec<Item>),
    /// A number, a truth value, a heredoc, `null`.
    Other,
}

impl Item {
    /// The first key in lower case: tofu finds most of them without regard to case.
    pub(super) fn name(&self) -> String {
        self.keys.first().map(|key| key.to_lowercase()).unwrap_or_default()
    }
}

impl Value {
    /// The items of an object, or of all objects in a list (which is how JSON writes several blocks).
    pub(super) fn items(&self) -> Vec<&Item> {
        match self {
            Self::Object(items) => items.iter().collect(),
            Self::List(values) => values.iter().flat_map(Self::items).collect(),
            Self::Text(_) | Self::Other => Vec::new(),
        }
    }
}

/// Where a scanner gave up and why; never a piece of the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Broken {
    /// Byte offset.
    pub(super) at: usize,
    /// What is wrong.
    pub(super) message: &'static str,
}

/// The line of a byte offset, counted from 1.
pub(super) fn line_at(text: &str, offset: usize) -> usize {
    1 + text.match_indices('\n').take_while(|(at, _)| *at < offset).count()
}

/// Deepest nesting of braces and brackets; tofu's own is bounded by its stack alone.
pub(super) const DEPTH_MAX: usize = 64;
