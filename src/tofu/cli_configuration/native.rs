//! HCL 1 in its native syntax: items and their byte ranges.
//!
//! Rule: the grammar of `hcl/parser` v1: keys are identifiers or strings; one key before `=`, any number before `{`;
//! items may be separated by commas; lists may hold anything.

use std::collections::HashSet;

use zeroize::Zeroizing;

use super::item::{Broken, DEPTH_MAX, Item, Value};
use super::lexer::{Kind, Lexer, Word};
use super::quoted::unquote;

/// Finds the items at the top of `text`, with what is inside of them.
pub(super) fn scan(text: &str) -> Result<Vec<Item>, Broken> {
    if let Some(at) = text.find(['\0', '\u{e123}']) {
        return Err(Broken { at, message: "a character that HCL does not allow" });
    }
    let mut parser = Parser { text, lexer: Lexer::new(text), word: Word { kind: Kind::End, range: 0..0 } };
    parser.advance()?;
    let items = parser.items(0)?;
    match parser.word.kind {
        Kind::End => Ok(items),
        _ => Err(parser.broken("a closing brace without an opening one")),
    }
}

struct Parser<'a> {
    text: &'a str,
    lexer: Lexer<'a>,
    /// The next word, not yet taken.
    word: Word,
}

impl Parser<'_> {
    fn advance(&mut self) -> Result<Word, Broken> {
        let next = self.lexer.next()?;
        Ok(std::mem::replace(&mut self.word, next))
    }

    fn broken(&self, message: &'static str) -> Broken {
        Broken { at: self.word.range.start, message }
    }

    /// Items up to the end or to a closing brace, which is left.
    fn items(&mut self, depth: usize) -> Result<Vec<Item>, Broken> {
        if depth > DEPTH_MAX {
            return Err(self.broken("braces nested too deep"));
        }
        let mut items = Vec::new();
        let mut assigned = HashSet::new();
        while !matches!(self.word.kind, Kind::End | Kind::CloseBrace) {
            let key = self.word.range.clone();
            let item = self.item(depth)?;
            if item.assigned && !assigned.insert(&self.text[key.clone()]) {
                return Err(Broken { at: key.start, message: "an argument that was set before" });
            }
            items.push(item);
            if self.word.kind == Kind::Comma {
                self.advance()?;
            }
        }
        Ok(items)
    }

    fn item(&mut self, depth: usize) -> Result<Item, Broken> {
        let start = self.word.range.start;
        let mut keys = Vec::new();
        while matches!(self.word.kind, Kind::Identifier | Kind::Text) {
            let word = self.advance()?;
            keys.push(self.text_of(&word)?);
        }
        let assigned = self.word.kind == Kind::Assign;
        let (end, value) = match self.word.kind {
            _ if keys.is_empty() => return Err(self.broken("a name was expected")),
            Kind::Assign if keys.len() > 1 => return Err(self.broken("`{` was expected after a label")),
            Kind::Assign => {
                self.advance()?;
                self.value(depth)?
            }
            Kind::OpenBrace => self.value(depth)?,
            _ => return Err(self.broken("`=` or `{` was expected")),
        };
        Ok(Item { range: start..end, keys, assigned, value })
    }

    /// A name or a string, escapes resolved.
    fn text_of(&self, word: &Word) -> Result<String, Broken> {
        let text = &self.text[word.range.clone()];
        if word.kind == Kind::Identifier {
            return Ok(text.to_owned());
        }
        unquote(text).ok_or(Broken { at: word.range.start, message: "an escape that HCL does not know" })
    }

    /// A value and where it ends.
    fn value(&mut self, depth: usize) -> Result<(usize, Value), Broken> {
        let word = self.advance()?;
        match word.kind {
            Kind::Text => {
                // Only to know that it is well formed; it may be a token.
                drop(Zeroizing::new(self.text_of(&word)?));
                Ok((word.range.end, Value::Text(word.range)))
            }
            Kind::Literal => Ok((word.range.end, Value::Other)),
            Kind::OpenBrace => {
                let items = self.items(depth + 1)?;
                if self.word.kind != Kind::CloseBrace {
                    return Err(Broken { at: word.range.start, message: "a brace that is not closed" });
                }
                Ok((self.advance()?.range.end, Value::Object(items)))
            }
            Kind::OpenBracket => self.list(&word, depth + 1),
            _ => Err(Broken { at: word.range.start, message: "a value was expected" }),
        }
    }

    fn list(&mut self, open: &Word, depth: usize) -> Result<(usize, Value), Broken> {
        if depth > DEPTH_MAX {
            return Err(self.broken("brackets nested too deep"));
        }
        let mut values = Vec::new();
        let mut needs_comma = false;
        loop {
            match self.word.kind {
                Kind::CloseBracket => return Ok((self.advance()?.range.end, Value::List(values))),
                Kind::End => return Err(Broken { at: open.range.start, message: "a bracket that is not closed" }),
                Kind::Comma => {
                    self.advance()?;
                    needs_comma = false;
                }
                _ if needs_comma => return Err(self.broken("`,` or `]` was expected")),
                kind => {
                    values.push(self.value(depth)?.1);
                    needs_comma = kind != Kind::OpenBracket;
                }
            }
        }
    }
}
