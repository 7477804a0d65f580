//! A disk that is full, and then is not: the server says so, and goes on without a restart.

use std::fs::File;
use std::io::Write as _;

use reqwest::Method;
use rustix::mount::{MountFlags, UnmountFlags, mount, unmount};
use serde_json::json;
use tempfile::TempDir;

use super::house::{Answer, House};

/// A file system of 4 MiB, unmounted when dropped.
struct Small(std::path::PathBuf);

impl Small {
    /// `None` after having said that it cannot be mounted here.
    fn mount(directory: &TempDir) -> Option<Self> {
        if !support::require::root() {
            return None;
        }
        let path = directory.path().to_owned();
        if mount("small", &path, "tmpfs", MountFlags::empty(), Some(c"size=4m,mode=0700")).is_err() {
            support::require::missing("the right to mount a tmpfs");
            return None;
        }
        Some(Self(path))
    }

    /// Takes all the space that is left.
    fn fill(&self) {
        let mut file = File::create(self.0.join("filler")).unwrap();
        for size in [64 * 1024, 4096, 1] {
            while file.write_all(&vec![0; size]).is_ok() {}
        }
    }

    fn free(&self) {
        std::fs::remove_file(self.0.join("filler")).unwrap();
    }
}

impl Drop for Small {
    fn drop(&mut self) {
        let _ = unmount(&self.0, UnmountFlags::DETACH);
    }
}

async fn make(house: &House, number: usize) -> Answer {
    house.post("/workspaces", json!({"name": format!("w{number}"), "description": "d".repeat(900)})).await
}

async fn ready(house: &House) -> Answer {
    house.send(Method::GET, "//readyz", "", None).await
}

#[tokio::test]
async fn a_full_disk_is_told_and_once_there_is_space_the_server_works_again() {
    let directory = tempfile::tempdir().unwrap();
    let Some(small) = Small::mount(&directory) else { return };
    let house = House::start_in(directory, |_| {}).await;
    ready(&house).await.expect(200);
    for round in 0..3 {
        small.fill();
        let mut full = None;
        for number in 0..2000 {
            let answer = make(&house, round * 10_000 + number).await;
            if answer.status != 201 {
                full = Some(answer);
                break;
            }
        }
        let full = full.expect("the disk gets full").expect_problem(507, "storage_full");
        assert!(full.field("hint").contains("free space"), "{full:?}");
        // More failures than there are connections.
        for number in 0..10 {
            make(&house, round * 10_000 + 5000 + number).await.expect_problem(507, "storage_full");
        }
        tokio::time::sleep(std::time::Duration::from_secs(3)).await;
        ready(&house).await.expect_problem(507, "storage_full");
        small.free();
        make(&house, round * 10_000 + 9000).await.expect(201);
        ready(&house).await.expect(200);
    }
}
