//! The list of proofs: what each is, and how large.

/// Test targets that are not among the tests of every change, because they take more than Rust or more than a minute.
/// What does not run there must compile there all the same.
pub(crate) const APART: [&str; 6] =
    ["browser", "conformance_faults", "crowd", "fuzzed", "image", "signatures"];

/// One of them.
pub(super) struct Proof {
    pub(super) name: &'static str,
    pub(super) package: &'static str,
    /// The integration test that is the proof; without one, the tests of the package whose name has `filter`.
    pub(super) target: Option<&'static str>,
    pub(super) filter: Option<&'static str>,
    /// Features of the package that the proof needs beside the default ones.
    pub(super) features: Option<&'static str>,
    /// Without one, there is only one size.
    pub(super) size: Option<Size>,
    /// Whether it runs on the servers that the tests are given.
    pub(super) on_servers: bool,
    pub(super) seed_env: Option<&'static str>,
}

/// How large a proof is: the flag and the variable that say so, and what each tier takes.
pub(super) struct Size {
    pub(super) flag: &'static str,
    pub(super) env: &'static str,
    pub(super) pr: u64,
    pub(super) nightly: u64,
    pub(super) release: u64,
}

/// All of them, in the order in which they run.
pub(super) const PROOFS: &[Proof] = &[
    Proof {
        name: "machine",
        package: "stepwell-core",
        target: Some("explore"),
        filter: None,
        features: None,
        size: Some(Size {
            flag: "--states",
            env: "STEPWELL_EXPLORE_STATES",
            pr: 300_000,
            nightly: 10_000_000,
            release: 100_000_000,
        }),
        on_servers: false,
        seed_env: None,
    },
    Proof {
        name: "properties",
        package: "stepwell-store-tests",
        target: None,
        filter: Some("properties"),
        features: None,
        // At 60 operations a case, the nightly size already is the ten million operations a release asks for.
        size: Some(Size {
            flag: "--cases",
            env: "PROPTEST_CASES",
            pr: 2_000,
            nightly: 200_000,
            release: 200_000,
        }),
        on_servers: true,
        seed_env: None,
    },
    Proof {
        name: "kill9",
        package: "stepwell",
        target: Some("kill9"),
        filter: None,
        features: None,
        size: Some(Size {
            flag: "--rounds",
            env: "STEPWELL_KILL9_ROUNDS",
            pr: 100,
            nightly: 10_000,
            release: 100_000,
        }),
        on_servers: false,
        seed_env: Some("STEPWELL_KILL9_SEED"),
    },
    Proof {
        name: "shutdown",
        package: "stepwell",
        target: Some("shutdown"),
        filter: None,
        features: None,
        // A round may wait for a grace period to pass, so there are fewer of them than of kill9.
        size: Some(Size {
            flag: "--rounds",
            env: "STEPWELL_SHUTDOWN_ROUNDS",
            pr: 100,
            nightly: 2_000,
            release: 20_000,
        }),
        on_servers: false,
        seed_env: None,
    },
    Proof {
        name: "powerloss",
        package: "stepwell-sim",
        target: Some("powerloss"),
        filter: None,
        features: None,
        size: Some(Size {
            flag: "--rounds",
            env: "STEPWELL_POWERLOSS_ROUNDS",
            pr: 3_000,
            nightly: 300_000,
            release: 1_000_000,
        }),
        on_servers: false,
        seed_env: Some("STEPWELL_POWERLOSS_SEED"),
    },
    Proof {
        name: "webhooks",
        package: "stepwell",
        target: Some("webhook_kill9"),
        filter: None,
        features: Some("webhooks,crash-points"),
        size: Some(Size {
            flag: "--rounds",
            env: "STEPWELL_WEBHOOKS_ROUNDS",
            pr: 54,
            nightly: 5_000,
            release: 50_000,
        }),
        on_servers: false,
        seed_env: Some("STEPWELL_WEBHOOKS_SEED"),
    },
    Proof {
        name: "outward",
        package: "stepwell-cli",
        target: Some("outward"),
        filter: None,
        features: None,
        size: Some(Size {
            flag: "--rounds",
            env: "STEPWELL_OUTWARD_ROUNDS",
            pr: 54,
            nightly: 3_000,
            release: 30_000,
        }),
        on_servers: false,
        seed_env: Some("STEPWELL_OUTWARD_SEED"),
    },
    Proof {
        name: "processes",
        package: "stepwell-cli",
        target: Some("process"),
        filter: Some("no_child_outlives"),
        features: None,
        size: Some(Size {
            flag: "--rounds",
            env: "STEPWELL_PROCESS_ROUNDS",
            pr: 8,
            nightly: 1_000,
            release: 10_000,
        }),
        on_servers: false,
        seed_env: None,
    },
    Proof {
        name: "chaos",
        package: "stepwell",
        target: Some("chaos"),
        filter: None,
        features: Some("postgres,webhooks"),
        size: Some(Size {
            flag: "--minutes",
            env: "STEPWELL_CHAOS_MINUTES",
            pr: 2,
            nightly: 60,
            release: 1_440,
        }),
        // It has one of its own, which it breaks.
        on_servers: false,
        seed_env: Some("STEPWELL_CHAOS_SEED"),
    },
    Proof {
        name: "log",
        package: "stepwell-postgres",
        target: Some("event_log"),
        filter: None,
        features: None,
        size: Some(Size { flag: "--minutes", env: "STEPWELL_LOG_MINUTES", pr: 1, nightly: 30, release: 600 }),
        on_servers: true,
        seed_env: Some("STEPWELL_LOG_SEED"),
    },
    Proof {
        name: "fuzzed",
        package: "stepwell-cli",
        target: Some("fuzzed"),
        filter: None,
        features: None,
        size: Some(Size {
            flag: "--examples",
            env: "STEPWELL_FUZZED_EXAMPLES",
            pr: 30,
            nightly: 1_000,
            release: 10_000,
        }),
        on_servers: false,
        seed_env: Some("STEPWELL_FUZZED_SEED"),
    },
    Proof {
        name: "signatures",
        package: "stepwell-cli",
        target: Some("signatures"),
        filter: None,
        features: None,
        size: None,
        on_servers: false,
        seed_env: None,
    },
    Proof {
        name: "conformance",
        package: "stepwell-cli",
        target: Some("conformance_faults"),
        filter: None,
        features: None,
        size: None,
        on_servers: false,
        seed_env: None,
    },
    Proof {
        name: "static",
        package: "stepwell-cli",
        target: Some("image"),
        filter: None,
        features: None,
        size: None,
        on_servers: false,
        seed_env: None,
    },
    Proof {
        name: "browser",
        package: "stepwell-cli",
        target: Some("browser"),
        filter: None,
        features: None,
        size: None,
        on_servers: false,
        seed_env: None,
    },
    Proof {
        name: "crowd",
        package: "stepwell-cli",
        target: Some("crowd"),
        filter: None,
        features: None,
        // One machine has ports and files for not much more.
        size: Some(Size {
            flag: "--clients",
            env: "STEPWELL_CROWD_CLIENTS",
            pr: 2_000,
            nightly: 10_000,
            release: 18_000,
        }),
        on_servers: false,
        seed_env: None,
    },
];
