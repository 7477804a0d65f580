//! HCL 1 in its JSON form: members of the top object and their byte ranges.
//!
//! Rule: the JSON that HCL 1's own scanner takes: its escapes (no `\/`), a comma before a closing brace; but nothing
//! after the object.

use std::ops::Range;

use zeroize::Zeroizing;

use super::item::{Broken, DEPTH_MAX, Item, Value};
use super::quoted::unquote;

/// Finds the members of the object in `text`, with what is inside of them.
pub(super) fn scan(text: &str) -> Result<Vec<Item>, Broken> {
    let mut parser = Parser { text, at: 0 };
    parser.expect('{', "`{` was expected")?;
    let items = parser.members(0)?;
    parser.skip_white();
    if parser.at == text.len() { Ok(items) } else { Err(parser.broken("something stands after the object")) }
}

struct Parser<'a> {
    text: &'a str,
    at: usize,
}

impl Parser<'_> {
    fn broken(&self, message: &'static str) -> Broken {
        Broken { at: self.at, message }
    }

    fn skip_white(&mut self) {
        let rest = &self.text[self.at..];
        self.at += rest.len() - rest.trim_start_matches([' ', '\t', '\n', '\r']).len();
    }

    fn accept(&mut self, wanted: char) -> bool {
        self.skip_white();
        let found = self.text[self.at..].starts_with(wanted);
        self.at += if found { wanted.len_utf8() } else { 0 };
        found
    }

    fn expect(&mut self, wanted: char, message: &'static str) -> Result<(), Broken> {
        if self.accept(wanted) { Ok(()) } else { Err(self.broken(message)) }
    }

    /// Members after an opening brace, and the closing one.
    fn members(&mut self, depth: usize) -> Result<Vec<Item>, Broken> {
        if depth > DEPTH_MAX {
            return Err(self.broken("braces nested too deep"));
        }
        let mut items = Vec::new();
        while !self.accept('}') {
            let key = self.string()?;
            let name = self.text_of(&key)?;
            self.expect(':', "`:` was expected")?;
            let value = self.value(depth)?;
            items.push(Item { range: key.start..self.at, keys: vec![name], assigned: false, value });
            if !self.accept(',') {
                self.expect('}', "`,` or `}` was expected")?;
                break;
            }
        }
        Ok(items)
    }

    fn value(&mut self, depth: usize) -> Result<Value, Broken> {
        self.skip_white();
        if self.accept('{') {
            return Ok(Value::Object(self.members(depth + 1)?));
        }
        if self.accept('[') {
            return self.list(depth + 1);
        }
        if self.text[self.at..].starts_with('"') {
            let text = self.string()?;
            // Only to know that it is well formed; it may be a token.
            drop(Zeroizing::new(self.text_of(&text)?));
            return Ok(Value::Text(text));
        }
        let rest = &self.text[self.at..];
        let length = rest.find(|letter: char| !is_literal(letter)).unwrap_or(rest.len());
        let literal = &rest[..length];
        let number = literal.starts_with(|letter: char| letter.is_ascii_digit() || letter == '-');
        if !number && !matches!(literal, "true" | "false" | "null") {
            return Err(self.broken("a value was expected"));
        }
        self.at += length;
        Ok(Value::Other)
    }

    fn list(&mut self, depth: usize) -> Result<Value, Broken> {
        if depth > DEPTH_MAX {
            return Err(self.broken("brackets nested too deep"));
        }
        let mut values = Vec::new();
        while !self.accept(']') {
            values.push(self.value(depth)?);
            if !self.accept(',') {
                self.expect(']', "`,` or `]` was expected")?;
                break;
            }
        }
        Ok(Value::List(values))
    }

    fn text_of(&self, quoted: &Range<usize>) -> Result<String, Broken> {
        unquote(&self.text[quoted.clone()])
            .ok_or(Broken { at: quoted.start, message: "an escape that HCL does not know" })
    }

    fn string(&mut self) -> Result<Range<usize>, Broken> {
        self.skip_white();
        let start = self.at;
        self.expect('"', "a string was expected")?;
        let mut escaped = false;
        for (offset, letter) in self.text[self.at..].char_indices() {
            match letter {
                '\n' => break,
                '"' if !escaped => {
                    self.at += offset + 1;
                    return Ok(start..self.at);
                }
                letter => escaped = letter == '\\' && !escaped,
            }
        }
        Err(Broken { at: start, message: "a string without an end" })
    }
}

fn is_literal(letter: char) -> bool {
    letter.is_ascii_alphanumeric() || matches!(letter, '+' | '-' | '.')
}
