//! Encrypted connections: whom they are with.
#![allow(clippy::unwrap_used, reason = "test code, in which a panic is the report")]

mod support;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use rcgen::{BasicConstraints, Certificate, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};
use stepwell_core::store::Store;
use stepwell_postgres::{Postgres, PostgresOptions};
use stepwell_postgres_rig::{Cluster, Settings};
use support::new_job;

fn pem(kind: &str, der: &[u8]) -> String {
    let text = STANDARD.encode(der);
    let lines: Vec<&str> =
        text.as_bytes().chunks(64).map(|line| std::str::from_utf8(line).unwrap()).collect();
    format!("-----BEGIN {kind}-----\n{}\n-----END {kind}-----\n", lines.join("\n"))
}

fn authority(name: &str) -> CertifiedIssuer<'static, KeyPair> {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, name);
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap()
}

#[tokio::test]
async fn a_server_is_asked_who_it_is_as_far_as_the_address_says() {
    let (ours, another) = (authority("ours"), authority("another"));
    let key = KeyPair::generate().unwrap();
    let server =
        CertificateParams::new(vec!["localhost".to_owned()]).unwrap().signed_by(&key, &ours).unwrap();
    let cluster = Cluster::start_encrypted(
        &Settings::fast(),
        &pem("CERTIFICATE", server.der()),
        &pem("PRIVATE KEY", &key.serialize_der()),
    )
    .unwrap();
    let place = tempfile::tempdir().unwrap();
    let file = |name: &str, issuer: &CertifiedIssuer<'_, KeyPair>| {
        let path = place.path().join(name);
        std::fs::write(&path, pem("CERTIFICATE", AsRef::<Certificate>::as_ref(issuer).der())).unwrap();
        path.display().to_string()
    };
    let (ours, another) = (file("ours.pem", &ours), file("another.pem", &another));
    let port = cluster.address().port;
    let open = |host: &str, asked: &str| {
        let url = format!("postgres://postgres@{host}:{port}/postgres?{asked}");
        Postgres::open(&PostgresOptions::new(url, [7; 16]))
    };
    for (host, asked) in [
        ("localhost", format!("sslmode=verify-full&sslrootcert={ours}")),
        ("127.0.0.1", format!("sslmode=verify-ca&sslrootcert={ours}")),
        ("127.0.0.1", format!("sslmode=require&sslrootcert={ours}")),
        ("127.0.0.1", "sslmode=require".to_owned()),
    ] {
        let store = open(host, &asked).unwrap_or_else(|error| panic!("{asked}: {error}"));
        store.enqueue(vec![new_job("k")]).await.unwrap().remove(0).unwrap();
        let plain = "SELECT 1 FROM pg_stat_activity a JOIN pg_stat_ssl s USING (pid) \
            WHERE a.application_name = 'stepwell' AND NOT s.ssl";
        assert!(cluster.query(plain).unwrap().is_empty(), "{asked}: all are encrypted");
        store.close().await.unwrap();
    }
    for (host, asked, instead) in [
        ("127.0.0.1", format!("sslmode=verify-full&sslrootcert={ours}"), "use the name that it is for"),
        ("localhost", format!("sslmode=verify-full&sslrootcert={another}"), "`sslrootcert=PATH`"),
        ("127.0.0.1", format!("sslmode=verify-ca&sslrootcert={another}"), "`sslrootcert=PATH`"),
        ("localhost", "sslmode=verify-full".to_owned(), "`sslrootcert=PATH`"),
    ] {
        let error = open(host, &asked).unwrap_err();
        assert!(error.is_refused() && error.to_string().contains(instead), "{asked}: {error}");
    }
    // Who asks for it does not do without.
    let plain = Cluster::start(&Settings::fast()).unwrap();
    let url = plain.address().url("postgres");
    let error = Postgres::open(&PostgresOptions::new(format!("{url}?sslmode=require"), [7; 16])).unwrap_err();
    assert!(error.to_string().contains("TLS"), "{error}");
}
