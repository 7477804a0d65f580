//! Uploads: checked before they are kept.

use nigari::protocol::limits::{CONFIGURATION_BYTES, CONFIGURATION_ENTRIES};
use reqwest::Method;

use super::fake_agent::digest;
use super::{Answer, House, archive, prepare, upload};

async fn upload_at(house: &House, query: &str, bytes: Vec<u8>) -> Answer {
    House::read(house.request(Method::POST, &format!("/workspaces/net/configurations{query}")).body(bytes)).await
}

#[tokio::test]
async fn an_upload_is_known_by_its_digest_and_kept_once() {
    let house = House::start().await;
    prepare(&house, "net").await;
    let bytes = archive(&[("main.tf", "locals {}\n"), ("a/b/x.tf", "")]);
    let first = upload(&house, "net", bytes.clone()).await.expect(201).json();
    assert_eq!(first["digest"], digest(&bytes));
    assert_eq!(first["bytes"], bytes.len());
    let second = upload_at(&house, "?working_directory=./a//b/", bytes).await.expect(201).json();
    assert_eq!((&second["digest"], second["working_directory"].as_str()), (&first["digest"], Some("a/b")));
    let id = |of: &serde_json::Value| of["id"].as_str().unwrap().parse().unwrap();
    let mut connection = house.state.store.read().await.unwrap();
    let blob = async |connection: &mut _, of| {
        nigari::server::store::configurations::load(connection, of).await.unwrap().unwrap().blob
    };
    assert_eq!(blob(&mut connection, id(&first)).await, blob(&mut connection, id(&second)).await);
}

#[tokio::test]
async fn a_working_directory_must_be_in_the_archive() {
    let house = House::start().await;
    prepare(&house, "net").await;
    let bytes = archive(&[("main.tf", ""), ("a/x.tf", "")]);
    for query in ["?working_directory=b", "?working_directory=a/b", "?working_directory=main.tf"] {
        upload_at(&house, query, bytes.clone()).await.expect_problem(422, "invalid");
    }
    for query in ["?working_directory=..", "?working_directory=/etc", "?working_directory=a/../.."] {
        upload_at(&house, query, bytes.clone()).await.expect_problem(422, "invalid");
    }
    upload_at(&house, "?directory=a", bytes).await.expect_problem(400, "malformed");
}

#[tokio::test]
async fn hostile_and_broken_archives_are_refused() {
    let house = House::start().await;
    prepare(&house, "net").await;
    upload(&house, "net", b"not an archive".to_vec()).await.expect_problem(422, "invalid");
    upload(&house, "net", Vec::new()).await.expect_problem(422, "invalid");
    let mut cut = archive(&[("main.tf", "locals {}\n")]);
    cut.truncate(cut.len() - 9);
    upload(&house, "net", cut).await.expect_problem(422, "invalid");
    let refused = upload(&house, "net", archive(&[("README.md", "x")])).await.expect_problem(422, "invalid");
    assert!(refused.field("hint").contains(".tf"), "{refused:?}");
    upload(&house, "net", with_parent()).await.expect_problem(422, "invalid");
    upload(&house, "nowhere", archive(&[("main.tf", "")])).await.expect_problem(404, "not_found");
    let wrong = house.request(Method::POST, "/workspaces/net/configurations").header("nigari-digest", digest(b"x"));
    House::read(wrong.body(archive(&[("main.tf", "")]))).await.expect_problem(422, "invalid");
}

/// A file called `../main.tf`.
fn with_parent() -> Vec<u8> {
    let mut tar = tar::Builder::new(flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast()));
    let mut header = tar::Header::new_ustar();
    header.as_mut_bytes()[..10].copy_from_slice(b"../main.tf");
    header.set_size(0);
    header.set_mode(0o644);
    header.set_cksum();
    tar.append(&header, std::io::empty()).unwrap();
    tar.into_inner().unwrap().finish().unwrap()
}

#[tokio::test]
async fn what_is_too_large_is_refused_and_leaves_nothing_that_is_used() {
    let house = House::start().await;
    prepare(&house, "net").await;
    let bytes = vec![b'x'; usize::try_from(CONFIGURATION_BYTES).unwrap() + 1];
    let refused = upload(&house, "net", bytes).await;
    assert!(matches!(refused.status.as_u16(), 413 | 422), "{refused:?}");
    upload(&house, "net", archive(&[("main.tf", "")])).await.expect(201);
}

#[tokio::test]
async fn no_more_entries_are_taken_than_an_agent_unpacks() {
    let house = House::start().await;
    prepare(&house, "net").await;
    let names: Vec<String> = (0..=CONFIGURATION_ENTRIES).map(|number| format!("{number}.tf")).collect();
    let files: Vec<(&str, &str)> = names.iter().map(|name| (name.as_str(), "")).collect();
    upload(&house, "net", archive(&files)).await.expect_problem(422, "invalid");
}
