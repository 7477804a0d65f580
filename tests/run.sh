#!/bin/sh
# Runs every test on real parts: says what it will install, installs it, builds the real programs, runs `cargo test`.
#
#   tests/run.sh              everything
#   tests/run.sh -- registry  what comes after it goes to `cargo test` as it is
#
# Loops go round NIGARI_LOOPS times as often as usual, for one. NIGARI_FAILPOINTS_PROFILE names the cargo profile of the
# program with fail points, `dev` if there is none: `release` takes minutes more to build and makes each kill cheaper.
# 10,000 kills in each sandbox:
#
#   NIGARI_FAILPOINTS_PROFILE=release NIGARI_LOOPS=20 tests/run.sh -- kill:: --nocapture
#
# Debian packages are installed only where there is apt-get and this is root; elsewhere it names them and goes on, and
# the tests say what they skipped. With NIGARI_TEST_REQUIRE=all a missing part is a failure.
set -eu
cd "$(dirname "$0")/.."

say() { printf '%s\n' "$*" >&2; }

# program (or, with a slash, a file) -> Debian package
wanted() {
    cat <<'LIST'
cc gcc
/usr/lib/postgresql postgresql
systemd-analyze systemd
systemd-nspawn systemd-container
debootstrap debootstrap
git git
sshd openssh-server
ssh openssh-client
squid squid-openssl
skopeo skopeo
docker docker.io
docker-registry docker-registry
LIST
}

missing=$(wanted | while read -r part package; do
    case $part in
    /*) [ -e "$part" ] || printf '%s ' "$package" ;;
    *) command -v "$part" >/dev/null || printf '%s ' "$package" ;;
    esac
done)

if ! command -v cargo >/dev/null; then
    say "Rust is missing: install it from https://rustup.rs"
    exit 1
fi

if [ -n "$missing" ]; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        say "installing by apt-get: $missing"
        apt-get update -qq
        # shellcheck disable=SC2086 # a list of packages
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >&2
    else
        say "not installed, because that takes root and apt-get: $missing(their tests will be skipped)"
    fi
else
    say "nothing to install"
fi

say "building tofu, registry, helm and others by Go, unless they are there (the first time a quarter of an hour)"
if ! cargo run --quiet --example tools >&2; then
    [ "${NIGARI_TEST_REQUIRE:-}" != all ] || exit 1
    say "going on without them; their tests will be skipped"
fi

# In the same target directory: nigari itself is compiled once more, and some libraries without what only tests want of
# them, which the quickstart needs in that form too. What cargo puts in place of the program that is tested otherwise, it
# puts back in the next command.
say "building the program with fail points, which the kill loops need"
program=$(cargo build --package nigari --bin nigari --features failpoints --profile "${NIGARI_FAILPOINTS_PROFILE:-dev}" \
    --message-format=json-render-diagnostics | sed -n 's/.*"executable":"\([^"]*\)".*/\1/p')
# Beside the one that the tests find, whatever its profile.
place="$(dirname "$(dirname "$program")")/debug/failpoints"
mkdir -p "$place"
rm -f "$place/nigari"
cp "$program" "$place/nigari"

say "running the tests"
exec cargo test --workspace "$@"
