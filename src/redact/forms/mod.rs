//! Every form in which a secret is looked for.
//!
//! Rule: a program on the way may quote or encode what it prints; whatever is usual is a form of its own here, and
//! each is also looked for with other line ends (see `view.rs`). Shorter than [`SHORTEST`] is not looked for, because
//! it would be found by chance. Forms are secrets: each is wiped, none is shown.

mod base64;
mod bytes;
mod escapes;
mod markup;
mod percent;
mod quotes;

use zeroize::Zeroizing;

use self::escapes::Dialect;
use super::filter::SHORTEST;
use super::view::{Reading, read_whole};

/// Bytes of a line of a secret that is looked for by itself: logs put their own words before each line.
const SHORTEST_LINE: usize = 8;
/// Longer than any registry's secret: what is larger are whole files, which nobody quotes for a URL or a shell.
const LONG: usize = 16 * 1024;

/// Forms of some secrets.
#[derive(Default)]
pub(super) struct Forms(Vec<Zeroizing<Vec<u8>>>);

impl Forms {
    /// The forms, some of them more than once.
    pub(super) fn all(&self) -> &[Zeroizing<Vec<u8>>] {
        &self.0
    }

    /// The same, given away.
    pub(super) fn into_all(self) -> Vec<Zeroizing<Vec<u8>>> {
        self.0
    }

    /// One form, and how it is read when it is wrapped.
    pub(super) fn add(&mut self, form: &[u8]) {
        for read in [read_whole(Reading::Joined, form), read_whole(Reading::Spaced, form)] {
            if read.as_slice() != form {
                self.push(read);
            }
        }
        self.push(Zeroizing::new(form.to_vec()));
    }

    fn push(&mut self, form: Zeroizing<Vec<u8>>) {
        // Blanks at its ends are no secret, and nothing but blanks is everywhere.
        if form.trim_ascii().len() >= SHORTEST {
            self.0.push(form);
        }
    }
}

/// The forms of a password, token, or other value.
pub(super) fn of_secret(text: &str, forms: &mut Forms) {
    if text.trim().len() < SHORTEST {
        return;
    }
    if text.len() > LONG {
        let mut add = |form: &[u8]| forms.add(form);
        add(text.as_bytes());
        quotes::json(text, &mut add);
        base64::of(text.as_bytes(), &mut add);
    } else {
        of_text(text, forms);
        let mut add = |form: &[u8]| forms.add(form);
        base64::of_text(text, &mut add);
        bytes::of(text, &mut add);
    }
    if text.contains(['\n', '\r']) {
        for line in text.split(['\n', '\r']).map(str::trim).filter(|line| line.len() >= SHORTEST_LINE) {
            of_text(line, forms);
        }
    }
}

/// The few forms of a token: as it is, in JSON, in hexadecimal, in a URL, in base64.
pub(super) fn of_token(text: &str, forms: &mut Forms) {
    let mut add = |form: &[u8]| forms.add(form);
    add(text.as_bytes());
    for slash in [false, true] {
        let json = escapes::in_dialect(text, Dialect { slash, ascii: None, numbered: "" });
        if *json != text {
            add(json.as_bytes());
        }
    }
    add(bytes::hexadecimal(text).as_bytes());
    percent::usual(text, &mut add);
    base64::usual(text.as_bytes(), &mut add);
}

/// The forms in which user and password are mixed.
pub(super) fn of_login(user: &str, password: &str, forms: &mut Forms) {
    let mut pair = Zeroizing::new(String::with_capacity(user.len() + password.len() + 1));
    for part in [user, ":", password] {
        pair.push_str(part);
    }
    base64::of_text(&pair, &mut |form| forms.add(form));
}

/// The forms that are still text.
fn of_text(text: &str, forms: &mut Forms) {
    let mut add = |form: &[u8]| forms.add(form);
    add(text.as_bytes());
    percent::of(text, &mut add);
    quotes::of(text, &mut add);
    markup::of(text, &mut add);
}

/// A copy with other characters: `write` writes what stands for each.
fn rewrite(text: &str, mut write: impl FnMut(&mut String, char)) -> Zeroizing<String> {
    // No form is longer than eight times its text, so that no copy is left by growing.
    let mut rewritten = Zeroizing::new(String::with_capacity(text.len() * 8));
    for character in text.chars() {
        write(&mut rewritten, character);
    }
    rewritten
}

#[cfg(test)]
mod tests {
    use ::base64::Engine as _;
    use ::base64::engine::general_purpose::STANDARD;

    use super::{Forms, of_login, of_secret, of_token};

    fn forms(text: &str) -> Vec<String> {
        let mut forms = Forms::default();
        of_secret(text, &mut forms);
        forms.all().iter().map(|form| String::from_utf8_lossy(form).into_owned()).collect()
    }

    #[test]
    fn what_is_too_short_has_no_form() {
        for text in ["", "12345", "      ", "  ab  ", "\n\n\n\n\n\n\n"] {
            assert_eq!(forms(text), [""; 0], "{text:?}");
        }
        assert!(forms("123456").contains(&"123456".to_owned()));
    }

    #[test]
    fn each_form_of_the_list_is_there() {
        let forms = forms("p@ss/\"é'$<\\& +\n%{x");
        for form in [
            "p@ss/\"é'$<\\& +\n%{x",
            "p%40ss%2F%22%C3%A9%27%24%3C%5C%26%20%2B%0A%25%7Bx",
            "p%40ss%2f%22%c3%a9%27%24%3c%5c%26%20%2b%0a%25%7bx",
            "p%40ss%2F%22%C3%A9%27%24%3C%5C%26+%2B%0A%25%7Bx",
            "p@ss/\\\"é'$<\\\\& +\\n%{x",
            "p@ss\\/\\\"\\u00e9'$<\\\\& +\\n%{x",
            "p@ss/\\\"é'$\\u003c\\\\\\u0026 +\\n%{x",
            "p@ss/\\\"é'$<\\\\& +\\n%%{x",
            "p@ss/\"é'\\''$<\\& +\n%{x",
            "p@ss/\\\"é'\\$<\\\\& +\n%{x",
            "p@ss/\"é\\'$<\\\\& +\\n%{x",
            "p@ss/&quot;é&apos;$&lt;\\&amp; +\n%{x",
            "p@ss/&#34;é&#39;$&lt;\\&amp; +\n%{x",
        ] {
            assert!(forms.iter().any(|known| known == form), "{form}");
        }
        for start in ["704073732f22c3a9", "704073732F22C3A9", "%70%40%73%73", "cEBzcy8i", "p\0@\0s\0s\0/\0"] {
            assert!(forms.iter().any(|known| known.starts_with(start)), "{start}");
        }
    }

    #[test]
    fn lines_are_secrets_of_their_own_and_short_ones_are_not() {
        let forms = forms("first line\r\n  second line  \nshort\n");
        for (line, is_there) in [("first line", true), ("second line", true), ("short", false)] {
            assert_eq!(forms.iter().any(|form| form == line), is_there, "{line}");
        }
    }

    #[test]
    fn a_token_has_few_forms() {
        let token = "eyJhbGciOiJSUzI1NiJ9.e30.a+b/c==".repeat(60);
        let mut forms = Forms::default();
        of_token(&token, &mut forms);
        let has = |text: &str| forms.all().iter().any(|form| form.as_slice() == text.as_bytes());
        assert!(has(&token) && has(&token.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D")));
        assert!(has(&STANDARD.encode(&token)));
        let mut all = Forms::default();
        of_secret(&token, &mut all);
        let bytes = |forms: &Forms| forms.all().iter().map(|form| form.len()).sum::<usize>();
        assert!(bytes(&forms) < 24 * token.len() && bytes(&forms) * 5 < bytes(&all), "{}", bytes(&forms));
    }

    #[test]
    fn a_token_is_known_in_json_of_both_kinds_and_in_hexadecimal() {
        let of = |token: &str| {
            let mut forms = Forms::default();
            of_token(token, &mut forms);
            forms.all().iter().map(|form| String::from_utf8_lossy(form).into_owned()).collect::<Vec<_>>()
        };
        let forms = of("a/b\"c\\d~e");
        for form in ["a/b\\\"c\\\\d~e", "a\\/b\\\"c\\\\d~e", "612f6222635c647e65"] {
            assert!(forms.iter().any(|known| known == form), "{form}");
        }
        // What JSON leaves alone is no form of its own.
        let token = "eyJhbGciOiJSUzI1NiJ9.e30.abc";
        assert_eq!(of(token).iter().filter(|form| form.as_str() == token).count(), 1);
    }

    #[test]
    fn user_and_password_are_one_text_in_base64() {
        let mut forms = Forms::default();
        of_login("robot", "s3cret", &mut forms);
        assert!(forms.all().iter().any(|form| form.as_slice() == b"cm9ib3Q6czNjcmV0"));
    }
}
