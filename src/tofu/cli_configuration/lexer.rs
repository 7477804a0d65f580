//! The words of HCL 1's native syntax, with their byte ranges.
//!
//! Rule: as the scanner of `hashicorp/hcl` v1 cuts them: three comment forms, strings in which `${…}` may hold quotes
//! and line ends, heredocs that end with a line of their own (its line end belongs to them), numbers, identifiers
//! with dots and dashes.

use std::ops::Range;

use super::item::Broken;

/// What a word is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Identifier,
    Text,
    /// Number, truth value or heredoc.
    Literal,
    Assign,
    Comma,
    OpenBrace,
    CloseBrace,
    OpenBracket,
    CloseBracket,
    End,
}

/// A word and its place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Word {
    pub(super) kind: Kind,
    pub(super) range: Range<usize>,
}

/// Cuts words off the front of a text.
pub(super) struct Lexer<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Lexer<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// The next word; comments and white space are passed over.
    pub(super) fn next(&mut self) -> Result<Word, Broken> {
        self.skip_trivia()?;
        let start = self.at;
        let Some(letter) = self.peek() else {
            return Ok(Word { kind: Kind::End, range: start..start });
        };
        self.at += letter.len_utf8();
        let kind = match letter {
            '=' => Kind::Assign,
            ',' => Kind::Comma,
            '{' => Kind::OpenBrace,
            '}' => Kind::CloseBrace,
            '[' => Kind::OpenBracket,
            ']' => Kind::CloseBracket,
            '"' => self.string(start)?,
            '<' => self.heredoc(start)?,
            '0'..='9' => self.number(letter)?,
            '-' | '.' if self.peek().is_some_and(|next| next.is_ascii_digit()) => self.number(letter)?,
            letter if is_letter(letter) => self.identifier(start),
            _ => return Err(Broken { at: start, message: "a character that means nothing here" }),
        };
        Ok(Word { kind, range: start..self.at })
    }

    fn peek(&self) -> Option<char> {
        self.text[self.at..].chars().next()
    }

    fn skip_while(&mut self, wanted: impl Fn(char) -> bool) {
        let rest = &self.text[self.at..];
        self.at += rest.find(|letter| !wanted(letter)).unwrap_or(rest.len());
    }

    fn skip_trivia(&mut self) -> Result<(), Broken> {
        loop {
            self.skip_while(|letter| matches!(letter, ' ' | '\t' | '\n' | '\r'));
            let rest = &self.text[self.at..];
            if rest.starts_with('#') || rest.starts_with("//") {
                self.skip_while(|letter| letter != '\n');
            } else if let Some(comment) = rest.strip_prefix("/*") {
                let Some(end) = comment.find("*/") else {
                    return Err(Broken { at: self.at, message: "a comment without an end" });
                };
                self.at += end + 4;
            } else {
                return Ok(());
            }
        }
    }

    fn string(&mut self, start: usize) -> Result<Kind, Broken> {
        let mut braces = 0_usize;
        loop {
            let unfinished = Broken { at: start, message: "a string without an end" };
            let Some(letter) = self.peek() else { return Err(unfinished) };
            self.at += letter.len_utf8();
            match letter {
                '\n' if braces == 0 => return Err(unfinished),
                '"' if braces == 0 => return Ok(Kind::Text),
                '$' if braces == 0 && self.peek() == Some('{') => {
                    self.at += 1;
                    braces = 1;
                }
                '{' if braces > 0 => braces += 1,
                '}' if braces > 0 => braces -= 1,
                '\\' => self.at += self.peek().map_or(0, char::len_utf8),
                _ => {}
            }
        }
    }

    /// `<<WORD` or `<<-WORD`, lines, and a line with nothing but the word on it. That line must be at least as long
    /// as the mark with its dash, which is a quirk of HCL 1.
    fn heredoc(&mut self, start: usize) -> Result<Kind, Broken> {
        let broken = |message| Broken { at: start, message };
        let rest = self.text[self.at..].strip_prefix('<').ok_or(broken("a single `<`"))?;
        let (first, _) = rest.split_once('\n').ok_or(broken("a heredoc without an end"))?;
        let mark = first.strip_suffix('\r').unwrap_or(first);
        let word = mark.strip_prefix('-').unwrap_or(mark);
        if word.is_empty() || !word.chars().all(|letter| is_letter(letter) || is_digit(letter)) {
            return Err(broken("a heredoc whose mark is not a word"));
        }
        self.at += 1 + first.len() + 1;
        loop {
            let rest = &self.text[self.at..];
            let (line, _) = rest.split_once('\n').ok_or(broken("a heredoc without an end"))?;
            self.at += line.len() + 1;
            let content = line.trim_end_matches('\r');
            let white = |letter: char| letter.is_ascii_whitespace() || letter == '\u{b}';
            if content.len() >= mark.len() && content.trim_start_matches(white) == word {
                return Ok(Kind::Literal);
            }
        }
    }

    fn number(&mut self, first: char) -> Result<Kind, Broken> {
        let start = self.at;
        if first == '0' && matches!(self.peek(), Some('x' | 'X')) {
            self.at += 1;
            let digits = self.at;
            self.skip_while(|letter| letter.is_ascii_hexdigit());
            let none = Broken { at: start, message: "a hexadecimal number without digits" };
            return if self.at > digits { Ok(Kind::Literal) } else { Err(none) };
        }
        self.skip_while(|letter| letter.is_ascii_digit());
        if first != '.' && self.peek() == Some('.') {
            self.at += 1;
            self.skip_while(|letter| letter.is_ascii_digit());
        }
        if matches!(self.peek(), Some('e' | 'E')) {
            self.at += 1;
            if matches!(self.peek(), Some('+' | '-')) {
                self.at += 1;
            }
            self.skip_while(|letter| letter.is_ascii_digit());
        }
        Ok(Kind::Literal)
    }

    fn identifier(&mut self, start: usize) -> Kind {
        self.skip_while(|letter| is_letter(letter) || is_digit(letter) || matches!(letter, '-' | '.'));
        if matches!(&self.text[start..self.at], "true" | "false") { Kind::Literal } else { Kind::Identifier }
    }
}

fn is_letter(letter: char) -> bool {
    letter.is_ascii_alphabetic() || letter == '_' || (!letter.is_ascii() && letter.is_alphabetic())
}

fn is_digit(letter: char) -> bool {
    letter.is_ascii_digit() || (!letter.is_ascii() && letter.is_numeric())
}
