//! Texts as the real program prints them. That it prints them so is tested in `tests/it/tofu/hint.rs`.

use super::{Delivered, Known, Withheld, WithheldReason};

fn find(output: &str, known: Known<'_>) -> Option<String> {
    super::find(output, &[], known)
}

fn withheld(path: &str, reason: WithheldReason) -> Withheld {
    Withheld {
        integration: "team registry".to_owned(),
        registry_host: "h.example:5000".to_owned(),
        path: path.to_owned(),
        reason,
    }
}

fn framed(cause: &str) -> String {
    format!(
        "\u{1b}[31m╷\u{1b}[0m\u{1b}[0m\n\u{1b}[31m│\u{1b}[0m \u{1b}[1mError: \u{1b}[0mFailed to download module\n\
         \u{1b}[31m│\u{1b}[0m Could not download module \"m\" (main.tf:1) source code from\n\
         \u{1b}[31m│\u{1b}[0m \"oci://h.example:5000/team/net?tag=1\": error downloading\n\
         \u{1b}[31m│\u{1b}[0m 'oci://h.example:5000/team/net?tag=1': configuring client for\n\
         \u{1b}[31m│\u{1b}[0m h.example:5000/team/net: failed to contact OCI registry at\n\
         \u{1b}[31m│\u{1b}[0m \"h.example:5000\": {cause}\n\u{1b}[31m╵\u{1b}[0m\n"
    )
}

const NO_CREDENTIAL: &str = "GET \"https://h.example:5000/v2/\":\n│ basic credential not\n│ found";

#[test]
fn a_withheld_integration_is_named_with_what_to_type() {
    let all = [withheld("", WithheldReason::ExportOff)];
    let known = Known { delivered: &[], withheld: &all };
    for cause in [
        NO_CREDENTIAL,
        "GET \"https://h.example:5000/v2/\": response status code 401: Unauthorized",
        "GET \"https://h.example:5000/v2/\": GET \"https://h.example/token\": response status code 403: denied: denied",
        "not found",
    ] {
        assert_eq!(
            find(&framed(cause), known).unwrap(),
            "registry integration \"team registry\" for h.example:5000 exists but *export credentials* is off: \
             `nigari registry update 'team registry' --export`"
        );
    }
}

#[test]
fn the_longest_path_that_covers_the_repository_counts() {
    let all = [
        withheld("", WithheldReason::Disabled),
        withheld("team", WithheldReason::OutOfScope),
        withheld("tea", WithheldReason::ExportOff),
        withheld("other", WithheldReason::ExportOff),
    ];
    let hint = find(&framed(NO_CREDENTIAL), Known { delivered: &[], withheld: &all }).unwrap();
    assert_eq!(
        hint,
        "registry integration \"team registry\" for h.example:5000/team exists but not for this workspace"
    );
    let hint = find(&framed(NO_CREDENTIAL), Known { delivered: &[], withheld: &all[2..] }).unwrap();
    assert!(hint.contains("there is no registry integration"), "{hint}");
}

#[test]
fn each_refusal_has_its_hint() {
    let delivered = [Delivered {
        integration: "team registry".to_owned(),
        registry_host: "h.example:5000".to_owned(),
        path: String::new(),
    }];
    let with = Known { delivered: &delivered, withheld: &[] };
    for (cause, known, expected) in [
        (
            NO_CREDENTIAL,
            Known::default(),
            "`nigari registry add NAME --url https://h.example:5000 --username USER --export`",
        ),
        (NO_CREDENTIAL, with, "another path"),
        ("GET \"https://h.example:5000/v2/\": response status code 401: Unauthorized", with, "new secret"),
        (
            "HEAD \"https://h.example:5000/v2/team/net/manifests/1\": response status code 403: Forbidden",
            with,
            "may not read",
        ),
        ("resolving tag: h.example:5000/team/net:1: not found", with, "no such repository or tag"),
        ("resolving tag: h.example:5000/team/net:1: not found", Known::default(), "without a login"),
    ] {
        let hint = find(&framed(cause), known).unwrap();
        assert!(hint.contains(expected) && hint.contains("h.example:5000"), "{cause}: {hint}");
    }
}

#[test]
fn a_refused_credential_is_named_with_what_to_type() {
    let of = |integration: &str, path: &str| Delivered {
        integration: integration.to_owned(),
        registry_host: "h.example:5000".to_owned(),
        path: path.to_owned(),
    };
    let wrong = framed("GET \"https://h.example:5000/v2/\": response status code 401: Unauthorized");
    let delivered = [of("wide", ""), of("narrow", "team"), of("other", "other")];
    let hint = find(&wrong, Known { delivered: &delivered, withheld: &[] }).unwrap();
    assert!(hint.contains("`nigari registry update narrow --secret-stdin`"), "{hint}");
    for cause in [wrong, framed(NO_CREDENTIAL)] {
        let hint = find(&cause, Known { delivered: &delivered[2..], withheld: &[] }).unwrap();
        assert!(hint.contains("another path"), "{hint}");
    }
}

#[test]
fn each_failed_connection_has_its_hint() {
    let get = "Get \"https://h.example:5000/v2/\": ";
    for (cause, expected) in [
        ("tls: failed to verify certificate: x509: certificate signed by\n│ unknown authority", "CA certificate"),
        ("tls: failed to verify certificate: x509: certificate is valid for a, not b", "another name"),
        ("http: server gave HTTP response to HTTPS client", "plain HTTP"),
        ("dial tcp: lookup h.example: no such host", "not known"),
        ("dial tcp 127.0.0.1:1: connect: connection\n│ refused", "nothing listens"),
        ("dial tcp 10.0.0.1:443: i/o timeout", "cannot be reached"),
    ] {
        let hint = find(&framed(&format!("{get}{cause}")), Known::default()).unwrap();
        assert!(hint.contains(expected) && hint.contains("h.example:5000"), "{cause}: {hint}");
    }
    let realm = framed("bearer realm host \"10.0.0.1\" is a loopback, link-local, private, or unspecified address");
    assert!(find(&realm, Known::default()).unwrap().contains("token service"));
}

#[test]
fn the_host_of_one_error_is_not_blamed_for_another_nor_is_a_module_that_came() {
    let came = "Downloading oci://h.example:5000/team/net?tag=1 for net...\n- net in .terraform/modules/net\n";
    let other = |source: &str, cause: &str| {
        format!(
            "╷\n│ Error: Failed to download module\n│ \n│ Could not download module \"other\" (main.tf:2) source code \
             from\n│ \"{source}\": Get \"{source}\": {cause}\n╵\n"
        )
    };
    let refused = other("http://other.example:81/m.zip", "dial tcp 10.0.0.1:81: connect: connection\n│ refused");
    let elsewhere = framed("response status code 500: Internal Server Error");
    for text in [format!("{came}{refused}"), format!("{elsewhere}{refused}"), format!("{refused}{elsewhere}")] {
        let hint = find(&text, Known::default()).unwrap();
        assert_eq!(hint, "nothing listens at other.example:81, seen from the agent's host", "{text}");
    }
    let missing = other("https://other.example/m.zip", "bad response code: 404; git: not found");
    // What the broker saw belongs to the error of its host, wherever that stands.
    let told = framed("response status code 502: Bad Gateway");
    for text in [format!("{told}{missing}"), format!("{missing}{told}")] {
        let faults = ["`h.example:5000` cannot be reached: the connection was refused".to_owned()];
        let hint = super::find(&text, &faults, Known::default()).unwrap();
        assert_eq!(hint, "nothing listens at h.example:5000, seen from the agent's host", "{text}");
        for other in ["`quay.io`", "`example:5000`", "`h.example:50`", "``", ""] {
            let faults = [format!("{other} cannot be reached: the connection was refused")];
            assert_eq!(super::find(&text, &faults, Known::default()), None, "{other} {text}");
        }
    }
    assert_eq!(find(&format!("{came}{missing}"), Known::default()), None);
}

#[test]
fn what_the_broker_saw_of_docker_hub_belongs_to_the_error_of_any_of_its_names() {
    let faults = ["`registry-1.docker.io` cannot be reached: the connection was refused".to_owned()];
    let of = |host: &str| framed("response status code 502: Bad Gateway").replace("h.example:5000", host);
    for name in ["index.docker.io", "docker.io"] {
        let hint = super::find(&format!("{}{}", of("quay.io"), of(name)), &faults, Known::default()).unwrap();
        assert!(hint.starts_with("nothing listens at") && hint.contains("docker.io"), "{name}: {hint}");
    }
    assert_eq!(super::find(&format!("{}{}", of("quay.io"), of("ghcr.io")), &faults, Known::default()), None);
}

#[test]
fn docker_io_is_explained_before_anything_else() {
    let all = [Withheld {
        integration: "hub".to_owned(),
        registry_host: "registry-1.docker.io".to_owned(),
        path: String::new(),
        reason: WithheldReason::ExportOff,
    }];
    let known = Known { delivered: &[], withheld: &all };
    let text = framed("response status code 401: unauthorized").replace("h.example:5000", "docker.io");
    assert!(find(&text, known).unwrap().contains("oci://registry-1.docker.io/"));
    let text = framed("response status code 401: unauthorized").replace("h.example:5000", "index.docker.io");
    assert!(find(&text, known).unwrap().contains("--export"), "all names of Docker Hub are one registry");
}

#[test]
fn other_failures_have_their_hint_or_none() {
    for (text, expected) in [
        ("Error: No value for required variable\n", "nigari variable set"),
        ("As a result of the above problems, OpenTofu may not behave as intended.", "CLI configuration"),
        ("│ Error: Unreadable module directory", ".terraformignore"),
    ] {
        assert!(find(text, Known::default()).unwrap().contains(expected), "{text}");
    }
    for text in
        ["", "Error: Unsupported argument", "thing: not found", "response status code 401", "\u{1b}[", "oci://\u{1b}/"]
    {
        assert_eq!(find(text, Known::default()), None, "{text}");
    }
}

#[test]
fn an_integration_whose_secret_does_not_open_is_to_be_set_again() {
    let all = [withheld("", WithheldReason::Unreadable)];
    let hint = find(&framed(NO_CREDENTIAL), Known { delivered: &[], withheld: &all }).unwrap();
    assert!(hint.contains("set it again") && hint.contains("nigari registry update"), "{hint}");
}

#[test]
fn a_host_that_is_none_is_never_repeated() {
    let text = framed(NO_CREDENTIAL).replace("h.example:5000", "h`rm -rf`x");
    assert_eq!(find(&text, Known::default()), None);
}

#[test]
fn an_untrusted_certificate_of_a_withheld_integration_is_the_integrations_matter() {
    let withheld = [Withheld {
        integration: "demo".to_owned(),
        registry_host: "h.example:5000".to_owned(),
        path: String::new(),
        reason: WithheldReason::ExportOff,
    }];
    let known = Known { delivered: &[], withheld: &withheld };
    let cause = "Get \"https://h.example:5000/v2/\": tls: failed to verify certificate: x509: certificate signed by\n│ \
                 unknown authority";
    let hint = find(&framed(cause), known).unwrap();
    assert!(hint.contains("demo") && hint.contains("export"), "{hint}");
}
