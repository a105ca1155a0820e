//! Random operations on the model, and on each store beside it.

use proptest::{
    prelude::*,
    test_runner::{Config, FileFailurePersistence},
};
use stepwell_store_tests::{
    fixture::Fixture,
    postgres::OnPostgres,
    properties::{operation::sequence, stage::Stage},
    sqlite::OnSqlite,
};

/// As many cases as the environment asks for, or as many as a developer waits for.
fn cases(default: u32) -> Config {
    // A failing sequence is kept beside this file, and played again before any other.
    let failures = Box::new(FileFailurePersistence::WithSource("regressions"));
    let mut config = Config { failure_persistence: Some(failures), ..Config::default() };
    if std::env::var_os("PROPTEST_CASES").is_none() {
        config.cases = default;
    }
    config
}

fn play(
    operations: &[stepwell_store_tests::properties::operation::Operation],
    tested: Option<Box<dyn Fixture>>,
) {
    let runtime = tokio::runtime::Builder::new_current_thread().build().expect("a runtime for the case");
    runtime.block_on(async { Stage::new(tested).await.play(operations).await });
}

proptest! {
    #![proptest_config(cases(150))]
    #[test]
    fn properties_hold_on_the_model(operations in sequence()) {
        play(&operations, None);
    }
}

proptest! {
    #![proptest_config(cases(60))]
    #[test]
    fn properties_of_sqlite_are_those_of_the_model(operations in sequence()) {
        play(&operations, Some(Box::new(OnSqlite::open())));
    }
}

proptest! {
    #![proptest_config(cases(20))]
    #[test]
    fn properties_of_postgres_are_those_of_the_model(operations in sequence()) {
        play(&operations, Some(Box::new(OnPostgres::open())));
    }
}
