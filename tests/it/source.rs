//! Rust source as `layering.rs` needs it: code without comments and literals, paths, functions, literals.
//!
//! Rule: a small reader of tokens, not a parser. Where it is unsure it sees more than there is, so that a rule fails
//! loudly and somebody looks.

use std::fs;
use std::path::{Path, PathBuf};

/// One file, read once.
pub(crate) struct Source {
    /// Relative to the repository.
    pub(crate) path: PathBuf,
    /// As it is on disk.
    pub(crate) text: String,
    /// Its tokens, without comments; string literals are tokens of their own.
    pub(crate) tokens: Vec<Token>,
    /// The same without what is compiled for tests alone.
    pub(crate) product: Vec<Token>,
}

/// A token and its line, counted from 1.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Token {
    pub(crate) kind: Kind,
    pub(crate) line: usize,
}

#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Kind {
    /// An identifier, a keyword or a number.
    Word(String),
    /// The content of a string literal.
    Text(String),
    /// `::`
    Path,
    /// `->`, which must not be taken for a closing angle bracket.
    Arrow,
    /// Any other character.
    Mark(char),
}

/// A function with a body.
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) line: usize,
    /// From `fn` to the closing brace.
    pub(crate) lines: usize,
    /// Without `self`.
    pub(crate) parameters: usize,
}

impl Source {
    /// Every `.rs` file below these places of the repository, sorted.
    pub(crate) fn all(places: &[&str]) -> Vec<Self> {
        let root = support::tools::repository();
        let mut files = Vec::new();
        for place in places {
            collect(&root.join(place), &mut files);
        }
        files.sort();
        files.iter().map(|file| Self::read(&root, file)).collect()
    }

    fn read(root: &Path, file: &Path) -> Self {
        let path = file.strip_prefix(root).unwrap().to_owned();
        let text = fs::read_to_string(file).unwrap();
        let tokens = tokens(&text);
        let for_tests = path.iter().any(|part| part == "tests" || part == "tests.rs");
        let product = if for_tests { Vec::new() } else { without_tests(&tokens) };
        Self { path, text, tokens, product }
    }

    /// The module that it is, from the crate's root; empty for `lib.rs` and `main.rs`.
    pub(crate) fn module(&self) -> Vec<String> {
        let below = self.path.strip_prefix("src").unwrap_or(&self.path).with_extension("");
        let mut module: Vec<String> = below.iter().map(|part| part.to_string_lossy().into_owned()).collect();
        if matches!(module.last().map(String::as_str), Some("mod" | "lib" | "main")) {
            module.pop();
        }
        module
    }

    /// Every path in these tokens with its line; those of `use` written out, those that begin with `crate`, `super` or
    /// (in `main.rs`) `nigari` resolved to `crate::…`.
    pub(crate) fn paths(&self, tokens: &[Token]) -> Vec<(usize, Vec<String>)> {
        let module = self.module();
        let program = self.path.ends_with("src/main.rs");
        let resolve = |path: Vec<String>| {
            let supers = path.iter().take_while(|part| *part == "super").count();
            if supers > 0 {
                let kept = module.len().saturating_sub(supers);
                return [&["crate".to_owned()], &module[..kept], &path[supers..]].concat();
            }
            if program && path[0] == "nigari" {
                return [&["crate".to_owned()], &path[1..]].concat();
            }
            path
        };
        written_paths(tokens).into_iter().map(|(line, path)| (line, resolve(path))).collect()
    }

    /// Every function with a body.
    pub(crate) fn functions(&self) -> Vec<Function> {
        let is_fn = |token: &Token| token.kind == Kind::Word("fn".into());
        (0..self.tokens.len())
            .filter(|&at| is_fn(&self.tokens[at]))
            .filter_map(|at| function(&self.tokens, at))
            .collect()
    }

    /// Names that it defines: (keyword, name, line).
    pub(crate) fn definitions(&self) -> Vec<(String, String, usize)> {
        const KEYWORDS: [&str; 8] = ["fn", "struct", "enum", "trait", "mod", "type", "const", "static"];
        let pairs = self.tokens.windows(2).filter_map(|pair| match (&pair[0].kind, &pair[1].kind) {
            (Kind::Word(keyword), Kind::Word(name))
                if KEYWORDS.contains(&keyword.as_str())
                    && !KEYWORDS.contains(&name.as_str())
                    && !["mut", "unsafe", "async", "extern"].contains(&name.as_str()) =>
            {
                Some((keyword.clone(), name.clone(), pair[0].line))
            }
            _ => None,
        });
        pairs.collect()
    }
}

impl Token {
    pub(crate) fn is(&self, mark: char) -> bool {
        self.kind == Kind::Mark(mark)
    }

    pub(crate) fn word(&self) -> Option<&str> {
        if let Kind::Word(word) = &self.kind { Some(word) } else { None }
    }
}

fn collect(path: &Path, files: &mut Vec<PathBuf>) {
    if path.is_dir() {
        for entry in fs::read_dir(path).unwrap() {
            collect(&entry.unwrap().path(), files);
        }
    } else if path.extension().is_some_and(|extension| extension == "rs") {
        files.push(path.to_owned());
    }
}

/// Splits source text; comments vanish, literals lose their quotes.
pub(crate) fn tokens(text: &str) -> Vec<Token> {
    let letters: Vec<char> = text.chars().collect();
    let mut out = Vec::new();
    let (mut at, mut line) = (0, 1);
    while at < letters.len() {
        let (kind, end) = next_token(&letters, at);
        if let Some(kind) = kind {
            out.push(Token { kind, line });
        }
        line += letters[at..end].iter().filter(|letter| **letter == '\n').count();
        at = end;
    }
    out
}

/// The token that begins at `at`, if what begins there is one, and where it ends.
fn next_token(letters: &[char], at: usize) -> (Option<Kind>, usize) {
    let second = letters.get(at + 1).copied().unwrap_or(' ');
    match letters[at] {
        '/' if second == '/' => (None, find(letters, at, |rest| rest[0] == '\n')),
        '/' if second == '*' => (None, comment_end(letters, at)),
        '"' => string(letters, at),
        '\'' => (None, quote_end(letters, at)),
        ':' if second == ':' => (Some(Kind::Path), at + 2),
        '-' if second == '>' => (Some(Kind::Arrow), at + 2),
        first if first.is_alphanumeric() || first == '_' => {
            let end = find(letters, at, |rest| !(rest[0].is_alphanumeric() || rest[0] == '_'));
            let word: String = letters[at..end].iter().collect();
            match (word.as_str(), letters.get(end)) {
                ("r" | "br" | "cr", Some('"' | '#')) => raw_string(letters, end),
                ("b" | "c", Some('"')) => string(letters, end),
                _ => (Some(Kind::Word(word)), end),
            }
        }
        first if first.is_whitespace() => (None, at + 1),
        first => (Some(Kind::Mark(first)), at + 1),
    }
}

fn find(letters: &[char], from: usize, found: impl Fn(&[char]) -> bool) -> usize {
    (from..letters.len()).find(|&at| found(&letters[at..])).unwrap_or(letters.len())
}

fn comment_end(letters: &[char], from: usize) -> usize {
    let (mut depth, mut at) = (0, from);
    while at < letters.len() {
        match (letters[at], letters.get(at + 1)) {
            ('/', Some('*')) => (depth, at) = (depth + 1, at + 2),
            ('*', Some('/')) => (depth, at) = (depth - 1, at + 2),
            _ => at += 1,
        }
        if depth == 0 {
            return at;
        }
    }
    at
}

fn string(letters: &[char], from: usize) -> (Option<Kind>, usize) {
    let mut at = from + 1;
    while at < letters.len() && letters[at] != '"' {
        at += if letters[at] == '\\' { 2 } else { 1 };
    }
    let end = at.min(letters.len());
    (Some(Kind::Text(letters[from + 1..end].iter().collect())), end + 1)
}

fn raw_string(letters: &[char], from: usize) -> (Option<Kind>, usize) {
    let hashes = letters[from..].iter().take_while(|letter| **letter == '#').count();
    let start = from + hashes + 1;
    let ends =
        |rest: &[char]| rest[0] == '"' && rest[1..].iter().take_while(|letter| **letter == '#').count() >= hashes;
    let end = find(letters, start, ends);
    (Some(Kind::Text(letters[start.min(end)..end].iter().collect())), end + 1 + hashes)
}

/// After a character literal or a lifetime.
fn quote_end(letters: &[char], at: usize) -> usize {
    match (letters.get(at + 1), letters.get(at + 2)) {
        (Some('\\'), _) => find(letters, at + 3, |rest| rest[0] == '\'') + 1,
        (Some(_), Some('\'')) => at + 3,
        _ => find(letters, at + 1, |rest| !(rest[0].is_alphanumeric() || rest[0] == '_')),
    }
}

/// Without the items under `#[cfg(test)]`.
fn without_tests(tokens: &[Token]) -> Vec<Token> {
    let mut out = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let text: String = tokens[at..]
            .iter()
            .take(7)
            .map(|token| match &token.kind {
                Kind::Word(word) => word.clone(),
                Kind::Mark(mark) => mark.to_string(),
                _ => " ".to_owned(),
            })
            .collect();
        if text == "#[cfg(test)]" {
            at = item_end(tokens, at + 7);
        } else {
            out.push(tokens[at].clone());
            at += 1;
        }
    }
    out
}

/// After the item that begins at `at`: a semicolon, or the brace that closes its body.
fn item_end(tokens: &[Token], at: usize) -> usize {
    let mut depth = 0_usize;
    for (index, token) in tokens.iter().enumerate().skip(at) {
        match token.kind {
            Kind::Mark('{' | '(' | '[') => depth += 1,
            Kind::Mark('}') if depth == 1 => return index + 1,
            Kind::Mark('}' | ')' | ']') => depth = depth.saturating_sub(1),
            Kind::Mark(';') if depth == 0 => return index + 1,
            _ => {}
        }
    }
    tokens.len()
}

fn written_paths(tokens: &[Token]) -> Vec<(usize, Vec<String>)> {
    let mut paths = Vec::new();
    let mut at = 0;
    while at < tokens.len() {
        let Some(word) = tokens[at].word() else {
            at += 1;
            continue;
        };
        let follows = |kind: &Kind| tokens.get(at + 1).is_some_and(|next| next.kind == *kind);
        if word == "use" && !follows(&Kind::Mark('<')) {
            at = use_tree(tokens, at + 1, &[], &mut paths);
            continue;
        }
        let (line, mut path) = (tokens[at].line, vec![word.to_owned()]);
        at += 1;
        while tokens.get(at).is_some_and(|token| token.kind == Kind::Path)
            && let Some(next) = tokens.get(at + 1).and_then(Token::word)
        {
            path.push(next.to_owned());
            at += 2;
        }
        paths.push((line, path));
    }
    paths
}

/// One tree of a `use`; gives where it ends.
fn use_tree(tokens: &[Token], mut at: usize, before: &[String], paths: &mut Vec<(usize, Vec<String>)>) -> usize {
    let mut path = before.to_vec();
    while let Some(token) = tokens.get(at) {
        match &token.kind {
            Kind::Word(word) if word == "as" => at += 1,
            Kind::Word(word) => path.push(word.clone()),
            Kind::Path => {}
            Kind::Mark('{') => {
                at += 1;
                while tokens.get(at).is_some_and(|token| !token.is('}')) {
                    at = use_tree(tokens, at, &path, paths);
                    at += usize::from(tokens.get(at).is_some_and(|token| token.is(',')));
                }
                return at + 1;
            }
            Kind::Mark('*') => path.push("*".to_owned()),
            _ => break,
        }
        at += 1;
    }
    let line = tokens.get(at).map_or(0, |token| token.line);
    paths.push((line, path));
    at.max(1)
}

/// The function whose `fn` is at `at`; `None` for a type and for a signature without a body.
fn function(tokens: &[Token], at: usize) -> Option<Function> {
    let name = tokens.get(at + 1)?.word()?.to_owned();
    let mut open = at + 2;
    if tokens.get(open)?.is('<') {
        open = closing(tokens, open)? + 1;
    }
    let close = closing(tokens, open)?;
    let body = (close..tokens.len()).find(|&index| tokens[index].is('{') || tokens[index].is(';'))?;
    if tokens[body].is(';') {
        return None;
    }
    let end = closing(tokens, body)?;
    let line = tokens[at].line;
    let parameters = parameters(&tokens[open + 1..close]);
    Some(Function { name, line, lines: tokens[end].line - line + 1, parameters })
}

/// How many parameters there are, `self` not counted.
fn parameters(tokens: &[Token]) -> usize {
    let mut depth = 0_i32;
    let mut parts = vec![Vec::new()];
    for token in tokens {
        match token.kind {
            Kind::Mark('(' | '[' | '{' | '<') => depth += 1,
            Kind::Mark(')' | ']' | '}' | '>') => depth -= 1,
            Kind::Mark(',') if depth == 0 => parts.push(Vec::new()),
            _ => {}
        }
        if let Some(part) = parts.last_mut() {
            part.push(token);
        }
    }
    let counts = |part: &Vec<&Token>| {
        let words: Vec<&str> = part.iter().filter_map(|token| token.word()).filter(|word| *word != "mut").collect();
        !words.is_empty() && words[..] != ["self"] && !(words.len() == 2 && words[1] == "self")
    };
    parts.iter().filter(|part| counts(part)).count()
}

/// The bracket that closes the one at `open`.
fn closing(tokens: &[Token], open: usize) -> Option<usize> {
    let Kind::Mark(opening) = tokens.get(open)?.kind else { return None };
    let closing = match opening {
        '(' => ')',
        '{' => '}',
        '<' => '>',
        _ => return None,
    };
    let mut depth = 0_usize;
    for (index, token) in tokens.iter().enumerate().skip(open) {
        if token.is(opening) {
            depth += 1;
        } else if token.is(closing) {
            depth -= 1;
            if depth == 0 {
                return Some(index);
            }
        }
    }
    None
}
