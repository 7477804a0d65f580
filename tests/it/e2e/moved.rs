//! A registry that moves its blobs to another path of the same host: real tofu follows, and each path is decided by itself.

use support::module::{EMPTY, MANIFEST, Package, digest};

use super::world::{USER, World};
use super::{with_modules, write};
use crate::registry::stage::{Act, Authority, Heard, Stage, answer, basic};

/// An answer 200 with these headers and this body.
pub(super) fn respond(headers: &[(&str, &str)], body: &[u8]) -> Vec<u8> {
    let headers: Vec<String> = headers.iter().map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let (length, headers) = (body.len(), headers.concat());
    let head = format!("HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: {length}\r\n{headers}\r\n");
    [head.into_bytes(), body.to_vec()].concat()
}

/// One module below `team/net`, whose blobs are below `team/store`. Nothing is for everybody.
fn act(heard: &Heard, package: &Package) -> Act {
    let path = heard.line.split(' ').nth(1).unwrap();
    if heard.authorization().is_none() {
        return Act::Say(basic());
    }
    Act::Say(match path.split_once("/blobs/") {
        Some(("/v2/team/net", blob)) => {
            answer("307 Temporary Redirect", &[("Location", &format!("/v2/team/store/blobs/{blob}"))], "")
        }
        Some((_, blob)) if blob == digest(&package.zip) => respond(&[], &package.zip),
        Some((_, blob)) if blob == digest(EMPTY) => respond(&[], EMPTY),
        None if path.starts_with("/v2/team/net/manifests/") => {
            let headers = [("Content-Type", MANIFEST), ("Docker-Content-Digest", &package.digest())];
            respond(&headers, &package.manifest)
        }
        _ => answer("200 OK", &[], "{}"),
    })
}

#[test]
fn a_blob_on_another_path_of_the_host_comes_by_the_credential_of_that_path_and_not_without_one() {
    let authority = Authority::new();
    let runtime = tokio::runtime::Runtime::new().unwrap();
    let package = Package::greeting();
    let stage = runtime.block_on(Stage::start(&authority, move |heard| act(heard, &package)));
    let place = tempfile::tempdir().unwrap();
    write(&place.path().join("ca.pem"), &authority.pem);
    let Some(world) = World::start() else { return };
    let (host, ca) = (format!("registry.localhost:{}", stage.port), place.path().join("ca.pem").display().to_string());
    let add = |name: &str, path: &str| {
        let url = format!("https://{host}{path}");
        let words = ["registry", "add", name, "--url", &url, "--username", USER, "--secret-stdin", "--export"];
        let words = [&words[..], &["--registry-ca-file", &ca]].concat();
        world.types_with(&words, &world.canaries[0].password).succeeded().unwrap();
    };
    let directory = world.configuration(&with_modules(&[("net", format!("oci://{host}/team/net?tag=1.0.0"))]));
    add("net", "/team/net");
    let said = world.apply(&directory, 1);
    assert!(said.contains("in the step fetch"), "{said}");
    let asked = stage.heard().into_iter().filter(|heard| heard.line.contains("/team/store/")).collect::<Vec<_>>();
    assert!(!asked.is_empty() && asked.iter().all(|heard| heard.authorization().is_none()), "{asked:?}");
    let shown = world.ends(&["run", "show", &world.newest()], 0);
    assert!(shown.contains("no registry integration of this run is for it"), "{shown}");
    add("store", "/team/store");
    let said = world.apply(&directory, 0);
    assert!(said.contains("hello, net"), "{said}");
}
