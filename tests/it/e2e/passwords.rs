//! Passwords that break whatever quotes, splits or trims carelessly: each has to authenticate a real pull.

use support::canary::Canary;

use super::shelf::Shelf;
use super::world::{Setup, USER, World};

/// Pulls a module with this password, with Basic authentication and with a token.
fn authenticates(password: &str) {
    let canaries = vec![Canary { user: USER.to_owned(), password: password.to_owned() }];
    let Some(world) = World::with(Setup { canaries, ..Setup::default() }) else { return };
    for shelf in [Shelf::start(password), Shelf::start_with_tokens(password)].into_iter().flatten() {
        let name = format!("r{}", shelf.registry.port());
        shelf.add(&world, &name, &["--export"]).succeeded().unwrap();
        world.types(&["registry", "test", &name]).succeeded().unwrap();
        let said = world.apply(&world.configuration(&shelf.main()), 0);
        assert!(said.contains("hello, greeting") || said.contains("No changes"), "{password:?}: {said}");
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
    a_password_like_json_authenticates: "{\"auths\":{\"canary\":\"c0ffee\"}}";
    a_password_like_an_option_authenticates: "--canary=1f2e3d";
    a_password_of_base64s_own_letters_authenticates: "canary==/+/+==";
}

#[test]
fn the_longest_password_that_bcrypt_takes_authenticates() {
    // bcrypt, which the registry keeps passwords in, looks at 72 bytes.
    authenticates(&"canary-0123456789".repeat(5)[..72]);
}

#[test]
fn a_very_long_token_authenticates() {
    let password = "canary.eyJhbGciOiJSUzI1NiJ9-".repeat(140);
    let canaries = vec![Canary { user: USER.to_owned(), password: password.clone() }];
    let Some(world) = World::with(Setup { canaries, ..Setup::default() }) else { return };
    let Some(shelf) = Shelf::start_with_tokens(&password) else { return };
    shelf.store(&world);
    world.apply(&world.configuration(&shelf.main()), 0);
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
