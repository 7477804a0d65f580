//! What the broker costs: a whole fetch beside the delivery `file`, and a large blob beside a direct download.

use std::path::Path;
use std::time::{Duration, Instant};

use nigari::clock::Clock;
use nigari::gateway::broker::{Broker, Plan};
use nigari::protocol::agent::RegistryCredential;
use nigari::protocol::id::IntegrationId;
use nigari::registry::upstream::Patience;
use reqwest::{Certificate, Client, Proxy};
use support::child::read_text;
use support::module::Package;
use support::registry::Registry;
use support::{Failure, Outcome, loops};

use crate::figures::{Series, print, title};
use crate::world::World;

/// Bytes of the blob.
const BLOB: usize = 200 * 1024 * 1024;
const PASSWORD: &str = "a-password-for-figures";

/// A fetch, from the opening of its delivery, which each run pays, to what comes behind it.
pub(crate) fn fetches(programs: [&Path; 3], directory: &Path) -> Outcome<()> {
    let mut by_file = World::start_delivering(programs, &directory.join("file"), "file")?;
    let mut by_broker = World::start_delivering(programs, &directory.join("by-broker"), "broker")?;
    let [mut file, mut broker, mut ratio, mut bare, mut whole] = <[Series; 5]>::default();
    let [mut file_opening, mut broker_opening] = <[Series; 2]>::default();
    let count = loops::times(50);
    for round in 0..count + 3 {
        // Whoever comes second finds the machine in another state, so that each is second as often.
        let (one, other) = if round % 2 == 0 {
            let one = by_file.run()?;
            (one, by_broker.run()?)
        } else {
            let other = by_broker.run()?;
            (by_file.run()?, other)
        };
        // The first rounds warm caches on both sides.
        if round >= 3 {
            let [one_opening, other_opening] = [&one, &other].map(|run| run.delivery - run.fetch);
            file_opening.add(one_opening);
            broker_opening.add(other_opening);
            file.add(one.delivery);
            broker.add(other.delivery);
            ratio.add(other.delivery / one.delivery);
            bare.add(other.fetch / one.fetch);
            whole.add(other.whole / one.whole);
        }
    }
    title(&format!("{count} interleaved pairs: opening the delivery, `get`, wipe; with the broker ÷ with a file"));
    print("with the broker, ms", format_args!("{broker}"));
    print("with a file, ms", format_args!("{file}"));
    print("ratio", format_args!("{ratio}"));
    print("  of the part behind the start of `get`", format_args!("{bare}"));
    print("  of the whole runs", format_args!("{whole}"));
    print("opening the broker → `get`, ms", format_args!("{broker_opening}"));
    print("opening the files → `get`, ms", format_args!("{file_opening}"));
    Ok(())
}

/// A large blob.
pub(crate) fn blob(registry: &Path, directory: &Path) -> Outcome<()> {
    tokio::runtime::Runtime::new()?.block_on(throughput(registry, directory))
}

async fn throughput(registry: &Path, directory: &Path) -> Outcome<()> {
    nigari::tls::install_provider();
    let registry = Registry::start(registry, directory, "robot", PASSWORD)?.called("registry.localhost");
    let package = Package::new(&[("blob", &"x".repeat(BLOB))]);
    registry.push("team/blob", "1.0.0", &package)?;
    let digest = support::module::digest(&package.zip);
    let url = format!("https://{}/v2/team/blob/blobs/{digest}", registry.host());
    let ca = read_text(&registry.ca_file());
    let credential = RegistryCredential {
        integration: IntegrationId::generate(),
        name: "figures".to_owned(),
        address: registry.host().parse().map_err(|error| Failure::new(format!("{error}")))?,
        username: "robot".to_owned(),
        secret: PASSWORD.into(),
        ca_pem: Some(ca.clone()),
        token_service: None,
        whole_run: false,
    };
    let (credentials, patience) = (vec![credential], Patience::default());
    let plan = Plan { credentials, patience, ..Plan::default() };
    let broker = Broker::open(plan, &Clock::new()).await.map_err(failed)?;
    let direct = client(&[&ca], None)?;
    let brokered = client(&[broker.authority()], Some(broker.proxy().expose()))?;
    let [mut alone, mut through, mut ratio, mut growth] = <[Series; 4]>::default();
    for round in 0..=loops::times(10) {
        let one = download(&direct, &url, true).await?;
        let before = peak_kib();
        let other = download(&brokered, &url, false).await?;
        if round > 0 {
            alone.add(one);
            through.add(other);
            ratio.add(other / one);
            growth.add(f64::from(peak_kib().saturating_sub(before)));
        }
    }
    broker.close().await;
    title("a blob of 200 MiB, client, broker and registry on this machine");
    print("direct, MB/s", format_args!("{alone}"));
    print("through the broker, MB/s", format_args!("{through}"));
    print("ratio", format_args!("{ratio}"));
    print("peak memory added by one download, KiB", format_args!("{growth}"));
    Ok(())
}

fn client(authorities: &[&str], proxy: Option<&str>) -> Outcome<Client> {
    let trusted = authorities.iter().map(|pem| Certificate::from_pem(pem.as_bytes()));
    let trusted: Vec<_> = trusted.collect::<Result<_, _>>().map_err(failed)?;
    let builder = Client::builder().no_proxy().tls_certs_only(trusted).timeout(Duration::from_mins(2));
    let builder = match proxy {
        Some(proxy) => builder.proxy(Proxy::https(proxy).map_err(failed)?),
        // Many resolvers do not know it.
        None => builder.resolve("registry.localhost", ([127, 0, 0, 1], 0).into()),
    };
    builder.build().map_err(failed)
}

/// Megabytes per second.
#[expect(clippy::cast_precision_loss, reason = "a rate")]
async fn download(client: &Client, url: &str, with_login: bool) -> Outcome<f64> {
    let begun = Instant::now();
    let request = client.get(url);
    let request = if with_login { request.basic_auth("robot", Some(PASSWORD)) } else { request };
    let mut response = request.send().await.and_then(reqwest::Response::error_for_status).map_err(failed)?;
    let mut bytes = 0_usize;
    while let Some(piece) = response.chunk().await.map_err(failed)? {
        bytes += piece.len();
    }
    if bytes < BLOB {
        return Err(Failure::new(format!("{bytes} bytes came")));
    }
    Ok(bytes as f64 / 1_000_000.0 / begun.elapsed().as_secs_f64())
}

/// The most that this process ever held.
fn peak_kib() -> u32 {
    let status = read_text(Path::new("/proc/self/status"));
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"));
    line.and_then(|line| line.split_whitespace().next()?.parse().ok()).unwrap_or(0)
}

fn failed(error: impl std::fmt::Display) -> Failure {
    Failure::new(error.to_string())
}
