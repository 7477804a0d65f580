//! What real programs make of a secret.

use support::child::{command, run};
use support::require;

use super::{looking_for, through};

/// Passwords with what programs escape; no line end, so that each can stand in an argument.
const PASSWORDS: [&str; 4] =
    ["p@ss/w+rd=&?%", "it's \"so\" $HOME `id` \\ !", "Grüße, <Welt> & 🔑", "plain-token-0123456789"];

/// Runs a program that prints the secret in its way, once per line; each line must be hidden.
fn hides(program: &str, arguments: &[&str]) {
    let Some(path) = require::program(program) else { return };
    for password in PASSWORDS {
        let mut child = command(&path);
        child.args(arguments).arg(password).env("LC_ALL", "C.UTF-8");
        let said = run(child).unwrap().succeeded().unwrap().out;
        assert!(!said.trim().is_empty());
        let out = String::from_utf8(through(&looking_for("user", password), &[said.as_bytes()])).unwrap();
        for (line, printed) in out.lines().zip(said.lines()) {
            let left = line.replace("(redacted)", "");
            assert!(
                line.contains("(redacted)") && left.len() <= 12,
                "{program} prints {printed}, of which stays {line}"
            );
        }
    }
}

#[test]
fn what_python_makes_of_it_is_hidden() {
    let program = "import sys, json, base64, html, urllib.parse as u, shlex, binascii\n\
                   s = sys.argv[1]; b = s.encode()\n\
                   print(s); print(repr(s)); print(json.dumps(s)); print(json.dumps(s, ensure_ascii=False))\n\
                   print(json.dumps(json.dumps(s, ensure_ascii=False), ensure_ascii=False))\n\
                   print(u.quote(s)); print(u.quote(s, safe='')); print(u.quote_plus(s))\n\
                   print(html.escape(s)); print(html.escape(s, quote=False)); print(shlex.quote(s))\n\
                   print(b.hex()); print(binascii.hexlify(b).decode().upper()); print(b)\n\
                   print(base64.b64encode(b).decode()); print(base64.urlsafe_b64encode(b).decode())\n\
                   print(base64.b64encode(('user:' + s).encode()).decode())\n\
                   print(base64.b64encode(base64.b64encode(('user:' + s).encode())).decode())\n\
                   print(base64.b64encode(s.encode('utf-16-le')).decode())";
    hides("python3", &["-c", program]);
}

#[test]
fn what_shells_and_their_tools_make_of_it_is_hidden() {
    hides("bash", &["-c", "printf '%q\\n' \"$1\"; echo \"${1@Q}\"; printf %s \"$1\" | base64 -w0; echo", "bash"]);
    hides("bash", &["-c", "exec 2>&1; set -x; : \"$1\"", "bash"]);
    hides(
        "bash",
        &["-c", "echo \"$1\" | base64 -w0; echo; printf %s \"$1\" | od -An -v -tx1 -w4096 | tr -d ' '", "bash"],
    );
}

#[test]
fn what_perl_makes_of_it_is_hidden() {
    let program = "my $s = $ARGV[0]; (my $e = $s) =~ s/([^A-Za-z0-9\\-._~])/sprintf('%%%02X', ord($1))/ge;\n\
                   print \"$e\\n\", unpack('H*', $s), \"\\n\"; (my $q = $s) =~ s/(['\\\\])/\\\\$1/g; print \"'$q'\\n\"";
    hides("perl", &["-e", program]);
}
