//! A step's output, or one error of it, as one line of text: without colours, without the frame that tofu draws around
//! an error, and with its line breaks undone.
//!
//! Rule: only what tofu itself writes around a registry error is looked for; a host is shown only if it looks like one.

/// Marks between which tofu or ORAS writes the registry's host, most telling first.
const HOST_MARKS: [(&str, &str); 4] = [
    ("failed to contact OCI registry at \"", "\""),
    ("accessing OCI registry at ", ":"),
    ("\"https://", "/v2/"),
    ("oci://", "/"),
];

/// The normalised text.
pub(super) struct Output(String);

impl Output {
    /// All of it.
    pub(super) fn new(raw: &str) -> Self {
        let mut all = Self(String::with_capacity(raw.len()));
        lines(raw).for_each(|line| all.push(&line));
        all
    }

    /// Each error by itself, so that the host of one is not blamed for another, nor a module that came; all of it if
    /// no error begins in it.
    pub(super) fn errors(raw: &str) -> Vec<Self> {
        let mut errors: Vec<Self> = Vec::new();
        for line in lines(raw) {
            if line.starts_with("Error: ") {
                errors.push(Self(String::new()));
            }
            if let Some(error) = errors.last_mut() {
                error.push(&line);
            }
        }
        if errors.is_empty() { vec![Self::new(raw)] } else { errors }
    }

    /// Adds a line to it.
    pub(super) fn push(&mut self, line: &str) {
        self.0.push_str(line);
        self.0.push(' ');
    }

    pub(super) fn has(&self, text: &str) -> bool {
        self.0.contains(text)
    }

    /// Whether this host stands in it, and not as a part of another.
    pub(super) fn names(&self, host: &str) -> bool {
        let is_border = |letter: Option<char>| {
            !letter.is_some_and(|letter| letter.is_ascii_alphanumeric() || "-.".contains(letter))
        };
        let stands = |(at, _): (usize, &str)| {
            let (before, behind) = (&self.0[..at], &self.0[at + host.len()..]);
            is_border(before.chars().next_back()) && is_border(behind.chars().next().filter(|letter| *letter != '.'))
        };
        !host.is_empty() && self.0.match_indices(host).any(stands)
    }

    pub(super) fn after(&self, mark: &str) -> Option<&str> {
        self.0.split_once(mark).map(|(_, after)| after)
    }

    /// The registry that the error is about.
    pub(super) fn registry_host(&self) -> Option<String> {
        HOST_MARKS.iter().find_map(|(before, after)| {
            let (host, _) = self.after(before)?.split_once(after)?;
            let host = if *after == ":" { self.with_port(before, host) } else { host.to_owned() };
            is_host(&host).then_some(host)
        })
    }

    /// `HOST:PORT: …` needs a second look: the first colon may stand before a port.
    fn with_port(&self, before: &str, host: &str) -> String {
        let rest = self.after(before).and_then(|rest| rest.get(host.len() + 1..)).unwrap_or_default();
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        if digits.is_empty() { host.to_owned() } else { format!("{host}:{digits}") }
    }

    /// The host of whatever connection failed.
    pub(super) fn connection_host(&self) -> Option<String> {
        self.registry_host().or_else(|| {
            let address = self.after("https://").or_else(|| self.after("http://"))?;
            let (host, _) = address.split_once(['/', '"', ' ', '\''])?;
            let host = host.rsplit_once('@').map_or(host, |(_, host)| host);
            is_host(host).then(|| host.to_owned())
        })
    }

    /// The repository on `host` that was asked for.
    pub(super) fn repository(&self, host: &str) -> Option<String> {
        let marks = [format!("configuring client for {host}/"), format!("oci://{host}/")];
        let rest = marks.iter().find_map(|mark| self.after(mark))?;
        let end = rest.find([':', '?', '"', '\'', ' ']).unwrap_or(rest.len());
        let repository = rest[..end].split_once("//").map_or(&rest[..end], |(repository, _)| repository);
        Some(repository.trim_matches('/').to_owned())
    }
}

/// Its lines, as they are without tofu's decoration.
fn lines(raw: &str) -> impl Iterator<Item = String> {
    let plain = |line| without_colours(line).trim().trim_start_matches(['│', '╷', '╵', '|']).trim().to_owned();
    raw.lines().map(plain).filter(|line| !line.is_empty())
}

fn is_host(host: &str) -> bool {
    let fits = |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '.' | '-' | ':' | '[' | ']' | '_');
    !host.is_empty() && host.len() <= 255 && host.chars().all(fits)
}

/// Removes the sequences `ESC [ … letter`.
fn without_colours(line: &str) -> String {
    let mut text = String::with_capacity(line.len());
    let mut letters = line.chars();
    while let Some(letter) = letters.next() {
        if letter != '\u{1b}' {
            text.push(letter);
        } else if letters.as_str().starts_with('[') {
            letters.next();
            letters.by_ref().find(char::is_ascii_alphabetic);
        }
    }
    text
}
