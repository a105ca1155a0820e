//! Everything that is looked at, in order.

use console::Style;

use super::{
    files,
    finding::{Finding, Status},
    receivers, service, waiting,
};
use crate::{
    client::{Client, Session},
    failure::{FailedTo, Failure, code},
    output::clean,
};

/// Looks at everything, says what it found, and answers with an exit code.
pub(crate) async fn visit(session: &Session) -> Result<u8, Failure> {
    let client = &session.client;
    // Without an answer to this one there is nothing to look at.
    let mut found = vec![service::version(client).await?];
    if let Client::Here(here) = client {
        found.extend(files::recovery(here.stepwell()));
        found.extend(here.store().file().into_iter().flat_map(files::files));
    }
    found.extend(seen("clock", service::clock(client).await.map(|finding| vec![finding])));
    found.extend(seen("queues", waiting::queues(client).await));
    found.extend(seen("webhooks", receivers::webhooks(client).await));
    tell(session, &found)?;
    Ok(if found.iter().any(|finding| finding.status == Status::Problem) { code::FAILURE } else { 0 })
}

/// What could not be looked at is told, and keeps nobody from looking at the rest.
fn seen(check: &'static str, looked: Result<Vec<Finding>, Failure>) -> Vec<Finding> {
    looked.unwrap_or_else(|failure| {
        let fix = "ask with a token that may see everything: stepwell tokens create NAME --read-only";
        vec![Finding::problem(check, failure.to_string(), fix)]
    })
}

fn tell(session: &Session, found: &[Finding]) -> Result<(), Failure> {
    let out = &session.out;
    if out.is_json() {
        return out.line(&serde_json::to_string(found).failed_to("write what was found")?);
    }
    for finding in found {
        let fix = finding.fix.as_deref().unwrap_or_default();
        if !out.is_for_people() {
            let cells = [finding.status.as_str(), finding.check, &clean(&finding.text), fix];
            out.line(&cells.join("\t"))?;
            continue;
        }
        let style = match finding.status {
            Status::Ok => Style::new().green(),
            Status::Warning => Style::new().yellow(),
            Status::Problem => Style::new().red(),
        };
        let mark = style.apply_to(finding.status.mark());
        out.line(&format!("{mark} {:<10}{}", finding.check, clean(&finding.text)))?;
        if !fix.is_empty() {
            out.line(&format!("  {:<10}→ {fix}", ""))?;
        }
    }
    if out.is_for_people() {
        let n = |status| found.iter().filter(|finding| finding.status == status).count();
        out.line(&format!("problems: {}, warnings: {}", n(Status::Problem), n(Status::Warning)))?;
    }
    Ok(())
}
