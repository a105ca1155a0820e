//! What is told to operators, on standard error.

use tracing_subscriber::filter::LevelFilter;

/// Tells warnings and errors, unless `STEPWELL_LOG` names another level.
pub(crate) fn begin() {
    let wanted = std::env::var("STEPWELL_LOG").ok().and_then(|level| level.parse::<LevelFilter>().ok());
    tracing_subscriber::fmt()
        .with_max_level(wanted.unwrap_or(LevelFilter::WARN))
        .with_writer(std::io::stderr)
        .with_target(false)
        .init();
}
