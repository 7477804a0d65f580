//! Passwords that break whatever quotes, splits or trims carelessly: each has to authenticate real pulls, in each delivery
//! and with each way of authentication.

use support::canary::Canary;

use super::shelf::{REPOSITORY, Shelf};
use super::with_modules;
use super::world::{Setup, USER, World};

/// A registry that is started with a password.
type Start = fn(&str) -> Option<Shelf>;

/// Of every kind: on loopback, which no proxy serves, and by a name that the broker does; with tokens and with Basic
/// authentication.
const STARTS: [Start; 4] =
    [Shelf::start_with_tokens, Shelf::start_guarded, Shelf::start_far_with_tokens, Shelf::start_far_guarded];

/// Pulls with this password by broker and credential helper in one run, and by a file in a second.
fn authenticates(password: &str) {
    let canaries = vec![Canary { user: USER.to_owned(), password: password.to_owned() }];
    let Some(world) = World::with(Setup { canaries, ..Setup::default() }) else { return };
    let shelves: Vec<Shelf> = STARTS.iter().filter_map(|start| start(password)).collect();
    if shelves.len() < STARTS.len() {
        return;
    }
    for shelf in &shelves {
        let name = format!("r{}", shelf.host().rsplit_once(':').unwrap().1);
        shelf.add(&world, &name, &["--export", "--permit-file"]).succeeded().unwrap();
        world.types(&["registry", "test", &name]).succeeded().unwrap();
    }
    let names = ["a", "b", "c", "d"];
    let all: Vec<_> = names.into_iter().zip(&shelves).map(|(name, shelf)| (name, shelf.source(REPOSITORY))).collect();
    let (near, _) = all.split_at(STARTS.len() / 2);
    for (delivery, modules, told) in [("auto", all.as_slice(), "broker, helper"), ("file", near, "file")] {
        let create =
            ["workspace", if delivery == "auto" { "create" } else { "update" }, "demo", "--delivery", delivery];
        world.ends(&create, 0);
        let said = world.apply(&world.configuration(&with_modules(modules)), 0);
        // What the first run has made the second need not make again.
        let made = modules.iter().all(|(name, _)| said.contains(&format!("hello, {name}")));
        assert!(made || delivery == "file", "{password:?} by {delivery}: {said}");
        let receipt = &world.run(&world.newest())["receipts"][0];
        assert_eq!(receipt["delivery"], told, "{receipt:#}");
        assert_eq!(receipt["modules"].as_array().unwrap().len(), modules.len(), "{receipt:#}");
    }
}

macro_rules! passwords {
    ($($name:ident: $password:expr;)*) => {$(
        #[test]
        fn $name() {
            authenticates($password);
        }
    )*};
}

passwords! {
    a_password_with_colons_authenticates: "canary:4c1d:with:colons:";
    a_password_like_an_expression_authenticates: "canary-${file(\"/etc/passwd\")}-%{if true}";
    a_password_with_quotes_and_backslashes_authenticates: "canary\"'`\\n\\\\\"-b41f";
    a_password_with_percent_signs_authenticates: "canary%41%2F%00%s%d-77aa";
    a_password_beyond_ascii_authenticates: "cänary-Пароль-密码-€-🔑";
    a_password_with_blanks_at_both_ends_authenticates: "  canary with blanks 9d2e ";
    a_password_of_one_byte_authenticates: "x";
    a_password_of_one_odd_byte_authenticates: ":";
    a_password_like_json_authenticates: "{\"auths\":{\"canary\":\"c0ffee\"}}";
    a_password_like_an_option_authenticates: "--canary=1f2e3d";
    a_password_of_base64s_own_letters_authenticates: "canary==/+/+==";
    a_password_of_72_bytes_authenticates: &"canary-0123456789".repeat(5)[..72];
    a_password_of_73_bytes_authenticates: &"canary-0123456789".repeat(5)[..73];
    a_password_of_256_bytes_authenticates: &"canary-0123456789".repeat(16)[..256];
    a_token_of_4096_bytes_authenticates: &"canary.eyJhbGciOiJSUzI1NiJ9-".repeat(150)[..4096];
}

/// 4096 bytes.
fn long_and_odd() -> String {
    let odd = "canary:/+~%$\"\\'`{}<>&=?#@!äöüß€ ".repeat(100);
    let end = odd.floor_char_boundary(4090);
    format!("{}{}", &odd[..end], "x".repeat(4096 - end))
}

/// Four of them in one run: each token that the run gets must be looked for without what is known being read anew.
#[test]
fn a_password_of_4096_bytes_of_all_odd_characters_authenticates() {
    authenticates(&long_and_odd());
}

/// What begins alike is taken by the registry alone, whose bcrypt looks at 72 bytes: so it shows nothing by itself.
#[test]
fn of_a_long_password_the_last_byte_counts() {
    let right = "canary-0123456789".repeat(10);
    let wrong = format!("{}0", &right[..right.len() - 1]);
    let starts: [(Start, bool); 4] = [
        (Shelf::start, true),
        (Shelf::start_guarded, false),
        (Shelf::start_far_guarded, false),
        (Shelf::start_far_with_tokens, false),
    ];
    for (start, is_taken) in starts {
        let canaries = vec![Canary { user: USER.to_owned(), password: wrong.clone() }];
        let Some(world) = World::with(Setup { canaries, ..Setup::default() }) else { return };
        let Some(mut shelf) = start(&right) else { return };
        shelf.password.clone_from(&wrong);
        shelf.store(&world);
        assert_eq!(world.types(&["registry", "test", "demo"]).code == Some(0), is_taken);
        world.apply(&world.configuration(&shelf.main()), i32::from(!is_taken));
    }
}

#[test]
fn a_trailing_line_break_of_an_editor_is_no_part_of_the_password() {
    let Some(world) = World::start() else { return };
    let Some(mut shelf) = Shelf::start(&world.canaries[0].password) else { return };
    shelf.password.push('\n');
    shelf.store(&world);
    world.apply(&world.configuration(&shelf.main()), 0);
}

#[test]
fn line_breaks_and_zeros_inside_of_a_password_are_refused() {
    let Some(world) = World::with(Setup { without_agent: true, ..Setup::default() }) else { return };
    for password in ["", "canary\ninside-5e6f", "canary\0inside-5e6f", "canary\rinside-5e6f"] {
        let add = ["registry", "add", "demo", "--url", "https://example.com", "--username", USER, "--secret-stdin"];
        let said = world.types_with(&[&add[..], &["--export"]].concat(), password);
        assert!(matches!(said.code, Some(1 | 2)), "{password:?}: {:?} {}", said.code, said.all());
        assert!(!said.all().contains("5e6f"), "{}", said.all());
    }
    assert_eq!(world.stack.json(&["registry", "list", "--json"]).unwrap().as_array().map(Vec::len), Some(0));
}
