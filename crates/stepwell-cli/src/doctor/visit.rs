//! Everything that is looked at, in order.

use std::path::Path;

use console::Style;

use super::{
    bundle, files,
    finding::{Finding, Status},
    leases, receivers, schema, service, waiting,
};
use crate::{
    client::{Session, Told},
    failure::{FailedTo, Failure, code},
    output::{Output, clean},
    store::StoreAddress,
};

/// Looks at everything, says what it found, and answers with an exit code. For a helper it also goes to a directory,
/// with what is set here.
pub(crate) async fn visit(session: &Session, helper: Option<(&Path, Vec<Told>)>) -> Result<u8, Failure> {
    let client = &session.client;
    // Without an answer to this one there is nothing to look at.
    let mut found = vec![service::version(client).await?];
    match service::health(client).await {
        Ok(told) => {
            found.extend(schema::schema(&told.health));
            found.extend(files::recovery(&told.health));
            found.extend(files::files(&told.health));
            found.push(service::clocks(&told));
            found.extend(leases::leases(&told.health));
            found.extend(seen("queues", waiting::queues(client, &told.health).await));
        }
        Err(failure) => found.extend(seen("health", Err(failure))),
    }
    found.extend(seen("webhooks", receivers::webhooks(client, &session.out).await));
    let code = tell(&session.out, &found)?;
    if let Some((to, settings)) = helper {
        bundle::write(client, to, &found, &settings).await?;
        session.out.say(&format!("all of it is in {}; look at it before you give it away", to.display()));
    }
    Ok(code)
}

/// Looks whether a store can be opened as it is. Answers with an exit code if it cannot, and says why.
pub(crate) async fn visit_unopened(store: &StoreAddress, out: &Output) -> Result<Option<u8>, Failure> {
    match schema::before_opening(store).await? {
        Some(finding) => tell(out, &[finding]).map(Some),
        None => Ok(None),
    }
}

/// What could not be looked at is told, and keeps nobody from looking at the rest.
fn seen(check: &'static str, looked: Result<Vec<Finding>, Failure>) -> Vec<Finding> {
    looked.unwrap_or_else(|failure| {
        let fix = "ask with a token that may see everything: stepwell tokens create NAME --read-only";
        vec![Finding::problem(check, failure.to_string(), fix)]
    })
}

fn tell(out: &Output, found: &[Finding]) -> Result<u8, Failure> {
    let n = |status| found.iter().filter(|finding| finding.status == status).count();
    let code = if n(Status::Problem) > 0 { code::FAILURE } else { 0 };
    if out.is_json() {
        out.line(&serde_json::to_string(found).failed_to("write what was found")?)?;
        return Ok(code);
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
        out.line(&format!("problems: {}, warnings: {}", n(Status::Problem), n(Status::Warning)))?;
    }
    Ok(code)
}
