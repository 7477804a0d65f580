//! Holds the house together: who may use whom, who may see a secret, sizes, words.
//!
//! Rule: the tables here are the design's. Whoever needs another line in one changes the design first.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use crate::source::{Kind, Source};

/// Everyone may use these.
const EVERYONE: [&str; 3] = ["failpoint", "secret", "clock"];

/// What agents and the ways into other people's runners may use.
const HOST: &[&str] = &[
    "protocol",
    "redact",
    "process",
    "tls",
    "tofu",
    "configuration",
    "registry",
    "client",
    "sandbox",
    "gateway",
    "delivery",
    "settings",
    "lifecycle",
    "logging",
    "metrics",
];

/// What the parts of the server that do something may use besides all of the server.
const SERVER: &[&str] = &[
    "server",
    "server::policy",
    "server::queue",
    "server::store",
    "server::vault",
    "server::audit",
    "server::wake",
    "server::tasks",
    "server::api",
    "protocol",
    "registry",
    "configuration",
    "tls",
    "redact",
    "settings",
    "lifecycle",
    "metrics",
];

/// Module → what it may use besides itself and [`EVERYONE`].
const TABLE: &[(&str, &[&str])] = &[
    ("failpoint", &[]),
    ("secret", &[]),
    ("clock", &[]),
    ("protocol", &[]),
    ("redact", &[]),
    ("process", &[]),
    ("tls", &["settings"]),
    ("tofu", &["process"]),
    ("configuration", &["tofu"]),
    ("registry", &["protocol", "tls"]),
    ("client", &["protocol", "tls"]),
    ("sandbox", &["process"]),
    ("gateway", &["protocol", "registry", "client", "tls"]),
    ("delivery", &["gateway", "protocol", "tofu", "registry", "sandbox", "tls", "redact"]),
    ("settings", &["lifecycle", "logging", "metrics", "protocol"]),
    ("lifecycle", &["settings", "logging", "metrics", "protocol"]),
    ("logging", &["settings", "lifecycle", "metrics", "protocol", "redact"]),
    ("metrics", &["settings", "lifecycle", "logging", "protocol"]),
    ("agent", HOST),
    ("exec", HOST),
    ("shim", HOST),
    ("sidecar", HOST),
    ("fuzzing", &["redact", "tofu", "configuration", "gateway"]),
    ("server::policy", &["protocol"]),
    ("server::queue", &["protocol"]),
    ("server::store", &["protocol", "server::queue", "server::policy"]),
    // `protocol` besides: the address that is bound into a ciphertext, the kinds of tokens.
    ("server::vault", &["server::policy", "settings", "process", "protocol"]),
    ("server::audit", SERVER),
    ("server::wake", SERVER),
    ("server::tasks", SERVER),
    ("server::api", SERVER),
    ("server", SERVER),
];

/// Files (or directories, with a slash at the end) that may call `Secret::expose`, and what for.
const MAY_EXPOSE: &[(&str, &str)] = &[
    ("src/secret.rs", "the type itself"),
    ("src/client/", "the bearer token of a request"),
    ("src/registry/", "authorisation towards the registry"),
    ("src/redact/", "makes the forms in which it is looked for"),
    ("src/gateway/", "the run's nonce; with the broker, authorisation towards the registry"),
    ("src/delivery/docker_config.rs", "the Docker-style file"),
    ("src/delivery/ca_bundle.rs", "a variable that the operator passes names the roots that a step trusts"),
    ("src/tofu/cli_configuration/fuzz.rs", "reads again what was merged; in no build that is shipped"),
    ("src/agent/identity.rs", "keeps the agent's identity, 0600"),
    ("src/agent/operator.rs", "asks tofu whether the operator's CLI configuration, which may have tokens, is sound"),
    ("src/agent/view.rs", "a variable that the operator passes may name a file that steps are to see"),
    ("src/agent/private.rs", "writes a file for a question to tofu, 0600, on tmpfs"),
    ("src/sandbox/environment.rs", "refuses NUL in a value"),
    ("src/sandbox/secret_file.rs", "writes the delivery's files"),
    ("src/sandbox/start.rs", "hands the run's variables to the step"),
    ("src/server/vault/", "seals it, and makes the HMAC of a token"),
    ("src/server/store/open.rs", "the database's URL has a password"),
    ("src/server/store/notify.rs", "the database's URL has a password"),
    ("src/server/first_start.rs", "writes the first two tokens, 0600"),
    ("src/cli/private_file.rs", "writes a token, 0600"),
    ("src/cli/screen.rs", "shows a new token, once"),
];

/// Files that may name `serialize_exposed`, and what for.
const MAY_SERIALIZE: &[(&str, &str)] = &[
    ("src/secret.rs", "the functions themselves"),
    ("src/protocol/agent/", "the credentials answer"),
    ("src/protocol/api/", "the client's PUT, and a new token's only answer"),
    ("src/sandbox/", "the launcher's socketpair"),
    ("src/delivery/helper/exchange.rs", "the credential helper's socket"),
];

/// Words that say nothing.
const EMPTY_WORDS: [&str; 7] = ["manager", "utils", "util", "common", "types", "core", "helper"];

const LONGEST_FILE: usize = 500;
const LONGEST_MEDIAN: usize = 150;
const LONGEST_FUNCTION: usize = 60;
const MOST_PARAMETERS: usize = 5;

/// What a rule found; the test fails if that is anything.
#[derive(Default)]
struct Findings(BTreeSet<String>);

impl Findings {
    fn add(&mut self, source: &Source, line: usize, what: &str) {
        self.0.insert(format!("{}:{line}: {what}", source.path.display()));
    }

    fn must_be_none(self, rule: &str) {
        let list = self.0.iter().fold(String::new(), |mut list, finding| {
            let _ = writeln!(list, "{finding}");
            list
        });
        assert!(self.0.is_empty(), "{rule}\n{list}");
    }
}

/// Where a path leads, as the table calls it.
fn layer(path: &[String]) -> Option<String> {
    let two = path.iter().take(2).cloned().collect::<Vec<_>>().join("::");
    let known = |name: &str| TABLE.iter().any(|(layer, _)| *layer == name) || name == "cli";
    [two, path.first()?.clone()].into_iter().find(|name| known(name))
}

fn may_use(from: &str, to: &str) -> bool {
    let listed = || TABLE.iter().any(|(layer, uses)| *layer == from && uses.contains(&to));
    from == "cli" || from == to || EVERYONE.contains(&to) || listed()
}

fn is_listed(source: &Source, list: &[(&str, &str)]) -> bool {
    let path = source.path.to_string_lossy();
    list.iter().any(|(place, _)| *place == path || (place.ends_with('/') && path.starts_with(place)))
}

#[test]
fn no_entry_of_the_lists_is_stale() {
    let sources = Source::all(&["src"]);
    let says = |source: &&Source, word: &str| {
        source.product.iter().any(|token| match &token.kind {
            Kind::Word(text) | Kind::Text(text) => text.contains(word),
            _ => false,
        })
    };
    for (list, word) in [(MAY_EXPOSE, "expose"), (MAY_SERIALIZE, "serialize_exposed")] {
        for entry in list {
            let used = sources.iter().filter(|source| says(source, word)).any(|source| is_listed(source, &[*entry]));
            assert!(used, "nothing in {} needs its entry in the list any more", entry.0);
        }
    }
}

fn is_below(source: &Source, places: &[&str]) -> bool {
    places.iter().any(|place| source.path.starts_with(place))
}

#[test]
fn modules_use_only_what_the_table_allows() {
    let mut findings = Findings::default();
    for source in Source::all(&["src"]) {
        let module = source.module();
        // `lib.rs` is the map and `main.rs` the door.
        if module.is_empty() {
            continue;
        }
        let Some(from) = layer(&module) else {
            findings.add(&source, 1, "a module that the table does not know");
            continue;
        };
        for (line, path) in source.paths(&source.product) {
            if path[0] != "crate" {
                continue;
            }
            if let Some(to) = layer(&path[1..])
                && !may_use(&from, &to)
            {
                findings.add(&source, line, &format!("`{from}` may not use `{to}` ({})", path.join("::")));
            }
        }
    }
    findings.must_be_none("the table in design section 4 does not allow:");
}

#[test]
fn agent_and_server_never_use_each_other_not_even_in_tests() {
    let mut findings = Findings::default();
    for source in Source::all(&["src/agent", "src/server"]) {
        let other = if source.path.starts_with("src/agent") { "server" } else { "agent" };
        for (line, path) in source.paths(&source.tokens) {
            if path[0] == "crate" && path.get(1).is_some_and(|module| module == other) {
                findings.add(&source, line, &path.join("::"));
            }
        }
    }
    findings.must_be_none("agent and server never use each other:");
}

#[test]
fn secrets_are_exposed_and_serialised_only_where_listed() {
    let mut findings = Findings::default();
    for source in Source::all(&["src"]) {
        for pair in source.product.windows(2) {
            if pair[0].is('.') && pair[1].word() == Some("expose") && !is_listed(&source, MAY_EXPOSE) {
                findings.add(&source, pair[1].line, "calls `.expose()`");
            }
        }
        for token in &source.product {
            let (Kind::Word(word) | Kind::Text(word)) = &token.kind else { continue };
            if word.contains("serialize_exposed") && !is_listed(&source, MAY_SERIALIZE) {
                findings.add(&source, token.line, "serialises a secret");
            }
        }
        let method = ["Secret", "expose"].map(str::to_owned);
        for (line, path) in source.paths(&source.product) {
            if path.ends_with(&method) && !is_listed(&source, MAY_EXPOSE) {
                findings.add(&source, line, "names `Secret::expose`");
            }
        }
    }
    findings.must_be_none("only listed files may let a secret out:");
}

#[test]
fn sql_axum_and_commands_stay_where_they_belong() {
    let mut findings = Findings::default();
    for source in Source::all(&["src"]) {
        for (line, path) in source.paths(&source.product) {
            let first = path[0].as_str();
            let long = path.len() > 1;
            if long && first.starts_with("sqlx") && !is_below(&source, &["src/server/store"]) {
                findings.add(&source, line, &format!("{} outside of server::store", path.join("::")));
            }
            if long && first == "axum" && !is_below(&source, &["src/server", "src/gateway"]) {
                findings.add(&source, line, &format!("{} outside of server and gateway", path.join("::")));
            }
            let starts =
                path.len() > 2 && ["std", "tokio"].contains(&first) && path[1] == "process" && path[2] == "Command";
            if starts && !is_below(&source, &["src/process", "src/sandbox"]) {
                findings.add(&source, line, &format!("{} outside of process and sandbox", path.join("::")));
            }
        }
        for token in &source.product {
            if let Kind::Text(text) = &token.kind
                && is_sql(text)
                && !is_below(&source, &["src/server/store"])
            {
                findings.add(&source, token.line, "SQL outside of server::store");
            }
        }
    }
    findings.must_be_none("each of these has its own place:");
}

/// Whether a literal is a statement of SQL, and not a sentence that begins with the same verb.
fn is_sql(text: &str) -> bool {
    let words: Vec<String> = text.split_whitespace().map(str::to_ascii_uppercase).collect();
    let has = |word: &str| words.iter().any(|known| known == word);
    match words.first().map(String::as_str) {
        Some("SELECT") => has("FROM") && text.contains("SELECT"),
        Some("INSERT") => has("INTO") && has("VALUES"),
        Some("UPDATE") => has("SET") && has("WHERE"),
        Some("DELETE") => has("FROM") && has("WHERE"),
        Some("CREATE") => words.get(1).is_some_and(|word| word == "TABLE" || word == "INDEX"),
        _ => false,
    }
}

#[test]
fn files_and_functions_are_small() {
    let sources = Source::all(&["src", "tests", "examples"]);
    let mut findings = Findings::default();
    for source in &sources {
        let lines = source.text.lines().count();
        if lines > LONGEST_FILE {
            findings.add(source, lines, &format!("{lines} lines, {LONGEST_FILE} at most"));
        }
        for function in source.functions() {
            let (name, size) = (&function.name, function.lines);
            if size > LONGEST_FUNCTION {
                findings.add(source, function.line, &format!("`{name}` has {size} lines, {LONGEST_FUNCTION} at most"));
            }
            if function.parameters > MOST_PARAMETERS {
                let count = function.parameters;
                findings.add(source, function.line, &format!("`{name}` takes {count}, {MOST_PARAMETERS} at most"));
            }
        }
    }
    let mut sizes: Vec<usize> = sources.iter().map(|source| source.text.lines().count()).collect();
    sizes.sort_unstable();
    let median = sizes[sizes.len() / 2];
    findings.must_be_none("too long:");
    assert!(median <= LONGEST_MEDIAN, "the median file has {median} lines, {LONGEST_MEDIAN} at most");
}

#[test]
fn every_file_says_first_what_it_is_for() {
    let mut findings = Findings::default();
    for source in Source::all(&["src", "tests", "examples"]) {
        if !source.text.starts_with("//! ") {
            findings.add(&source, 1, "does not begin with `//!`");
        }
    }
    findings.must_be_none("every file begins with what it is for:");
}

#[test]
fn names_say_something() {
    let mut findings = Findings::default();
    for source in Source::all(&["src", "tests", "examples"]) {
        // `delivery/helper.rs` is the credential helper, the one thing that is called so.
        let credential_helper = source.path.starts_with("src/delivery");
        let stem = source.path.file_stem().unwrap_or_default().to_string_lossy().into_owned();
        let own = ("file".to_owned(), stem, 1);
        // Functions and constants are half sentences, in which such a word can have a meaning (`COMMON_NAME`).
        let nouns = |kind: &str| !["fn", "const", "static"].contains(&kind);
        for (kind, name, line) in source.definitions().into_iter().filter(|one| nouns(&one.0)).chain([own]) {
            let words = words(&name);
            let credential = credential_helper || words.iter().any(|word| word.starts_with("cred"));
            let empty = |word: &&String| EMPTY_WORDS.contains(&word.as_str()) && !(*word == "helper" && credential);
            if let Some(word) = words.iter().find(empty) {
                findings.add(&source, line, &format!("{kind} `{name}`: {word:?} says nothing"));
            }
        }
    }
    findings.must_be_none("names say what a thing is:");
}

/// The words of a name in any case, in lower case.
fn words(name: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    for letter in name.chars() {
        if letter == '_' || letter.is_uppercase() && words.last().is_some_and(|word| word.ends_with(char::is_lowercase))
        {
            words.push(String::new());
        }
        if let (true, Some(word)) = (letter != '_', words.last_mut()) {
            word.push(letter);
        }
    }
    words.iter().map(|word| word.to_lowercase()).collect()
}

#[test]
fn nothing_is_unfinished_ignored_or_unsafe_by_the_way() {
    let mut findings = Findings::default();
    let marks = [["TO", "DO"].concat(), ["FIX", "ME"].concat(), ["XX", "X:"].concat()];
    for source in Source::all(&["src", "tests", "examples"]) {
        for (number, line) in source.text.lines().enumerate() {
            if marks.iter().any(|mark| line.contains(mark)) {
                findings.add(&source, number + 1, "unfinished");
            }
        }
        for pair in source.tokens.windows(2) {
            if pair[0].is('[') && matches!(pair[1].word(), Some("ignore" | "allow")) {
                findings.add(&source, pair[1].line, "neither `#[ignore]` nor `#[allow]`");
            }
            if pair[0].word() == Some("unsafe") && !is_below(&source, &["src/sandbox"]) {
                findings.add(&source, pair[0].line, "unsafe code outside of the sandbox");
            }
        }
    }
    findings.must_be_none("finished means finished:");
}

#[test]
fn nothing_names_a_path_of_one_machine() {
    let root = support::tools::repository();
    let mut list = support::child::command("git");
    list.args(["ls-files", "-z", "--cached", "--others", "--exclude-standard"]).current_dir(&root);
    let files = support::child::run(list).unwrap().succeeded().unwrap().out;
    let home = std::env::home_dir().unwrap_or_default();
    let own = [root.as_path(), home.as_path()].into_iter().filter(|path| path.components().count() > 1);
    let mut foreign: Vec<String> = own.map(|path| format!("{}/", path.display())).collect();
    foreign.extend([["/wo", "rk/"].concat(), ["/ro", "ot/"].concat()]);
    let mut found = Vec::new();
    for name in files.split('\0').filter(|name| !name.is_empty()) {
        let text = support::child::read_text(&root.join(name));
        if foreign.iter().any(|path| text.contains(path)) {
            found.push(name.to_owned());
        }
    }
    assert!(!files.is_empty() && found.is_empty(), "these files name a path of one machine: {found:?}");
}

mod reader {
    //! The reader itself: a rule that sees nothing would be kept by everybody.

    use crate::source::{Source, tokens};

    fn source(text: &str) -> Source {
        let tokens = tokens(text);
        Source { path: "src/server/store/runs.rs".into(), text: text.to_owned(), product: tokens.clone(), tokens }
    }

    fn paths(text: &str) -> Vec<String> {
        let source = source(text);
        source.paths(&source.tokens).into_iter().map(|(_, path)| path.join("::")).collect()
    }

    #[test]
    fn paths_are_found_in_trees_inline_and_above() {
        let found =
            paths("use crate::{a::{b, c as d}, e::*};\nfn f() -> super::super::vault::K { crate::g::h::<u8>() }");
        for path in ["crate::a::b", "crate::a::c", "crate::e::*", "crate::server::vault::K", "crate::g::h"] {
            assert!(found.iter().any(|known| known == path), "{path} in {found:?}");
        }
    }

    #[test]
    fn comments_literals_and_lifetimes_are_no_code() {
        let found = paths(
            "// crate::x::y\n/* /* crate::x */ crate::y */ const A: &'static str = r#\"crate::z \"\"#; 'c' '\\''",
        );
        assert!(!found.iter().any(|path| path.starts_with("crate")), "{found:?}");
    }

    #[test]
    fn functions_are_measured_and_parameters_counted() {
        let functions = source(
            "impl A {\n  fn a<F: Fn(u8) -> (u8, u8)>(&mut self, one: F, two: (u8, u8), three: Map<K, V>,) {\n    {}\n  }\n}\n\
             trait T { fn b(a: u8); }\nfn c() {}",
        )
        .functions();
        let seen: Vec<_> = functions.iter().map(|one| (one.name.as_str(), one.lines, one.parameters)).collect();
        assert_eq!(seen, [("a", 3, 3), ("c", 1, 0)]);
    }

    #[test]
    fn names_are_split_into_words() {
        assert_eq!(super::words("RunManager_of_CORE"), ["run", "manager", "of", "core"]);
    }

    #[test]
    fn sql_is_told_from_sentences() {
        assert!(super::is_sql("SELECT a\n FROM b") && super::is_sql("update a set b = 1 where c = 2"));
        assert!(!super::is_sql("Select a registry from the list") && !super::is_sql("update the registry"));
    }
}
