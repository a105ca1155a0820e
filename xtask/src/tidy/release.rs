//! Nothing is published that the verify job has not passed.

use super::{fault::Fault, file::File};

const WORKFLOW: &str = ".github/workflows/release.yml";
const VERIFY: &str = "verify";

/// A job of the workflow: its name and the lines under it.
struct Job<'a> {
    line: usize,
    name: &'a str,
    body: Vec<&'a str>,
}

pub(crate) fn check(file: &File) -> Vec<Fault> {
    if file.path != WORKFLOW {
        return Vec::new();
    }
    let jobs = jobs(&file.text);
    let mut faults = Vec::new();
    if !jobs.iter().any(|job| job.name == VERIFY && job.body.iter().any(|line| line.contains(".ci/run"))) {
        faults.push(file.fault(0, "there is no job `verify` that runs .ci/run"));
    }
    let publishers: Vec<_> = jobs.iter().filter(|job| job.publishes()).collect();
    if publishers.is_empty() {
        faults.push(file.fault(0, "there is no job that publishes"));
    }
    for job in publishers {
        if !job.needs(VERIFY) {
            faults.push(
                file.fault(
                    job.line,
                    format!("the job `{}` publishes and does not need `{VERIFY}`", job.name),
                ),
            );
        }
        // Such a condition lets a job run although a job that it needs has failed.
        if job
            .body
            .iter()
            .any(|line| ["always()", "failure()", "cancelled()"].iter().any(|word| line.contains(word)))
        {
            faults.push(
                file.fault(
                    job.line,
                    format!("the job `{}` publishes even if `{VERIFY}` has failed", job.name),
                ),
            );
        }
    }
    faults
}

impl Job<'_> {
    fn publishes(&self) -> bool {
        self.body.iter().any(|line| line.contains("cargo publish") && !line.contains("--dry-run"))
    }

    /// `needs: name`, `needs: [name, other]`, or a list below it.
    fn needs(&self, name: &str) -> bool {
        let Some(start) = self.body.iter().position(|line| line.starts_with("    needs:")) else {
            return false;
        };
        let inline = self.body[start].trim_start().trim_start_matches("needs:");
        let list = self.body[start + 1..].iter().take_while(|line| line.trim_start().starts_with("- "));
        list.map(|line| line.trim_start().trim_start_matches('-'))
            .chain(inline.split(','))
            .any(|word| word.trim_matches([' ', '[', ']', '"', '\'']) == name)
    }
}

/// The jobs, read by indentation: two spaces before a job's name, four before what belongs to it.
fn jobs(text: &str) -> Vec<Job<'_>> {
    let mut jobs: Vec<Job<'_>> = Vec::new();
    let mut lines = text.lines().enumerate().skip_while(|(_, line)| line.trim_end() != "jobs:");
    lines.next();
    for (index, line) in lines {
        let line = line.split(" #").next().unwrap_or_default();
        if line.trim().is_empty() || line.trim_start().starts_with('#') {
            continue;
        }
        match line.len() - line.trim_start().len() {
            0 => break,
            2 => {
                let name = line.trim().trim_end_matches(':');
                jobs.push(Job { line: index + 1, name, body: Vec::new() });
            }
            _ => {
                if let Some(job) = jobs.last_mut() {
                    job.body.push(line);
                }
            }
        }
    }
    jobs
}

#[cfg(test)]
mod tests {
    use super::*;

    const REAL: &str = include_str!("../../../.github/workflows/release.yml");

    fn faults(text: &str) -> Vec<String> {
        check(&File::new(WORKFLOW, text)).into_iter().map(|fault| fault.message).collect()
    }

    #[test]
    fn the_release_workflow_publishes_only_what_was_verified() {
        assert_eq!(faults(REAL), Vec::<String>::new());
        let publish = jobs(REAL).into_iter().find(|job| job.name == "publish").unwrap();
        assert!(publish.publishes() && publish.needs(VERIFY));
    }

    #[test]
    fn a_publish_job_without_its_need_is_caught() {
        let broken = REAL.replace("    needs: [verify]\n", "");
        assert_ne!(broken, REAL);
        assert_eq!(faults(&broken), ["the job `publish` publishes and does not need `verify`"]);
        assert_eq!(faults(&REAL.replace("needs: [verify]", "needs: [verified]")).len(), 1);
        assert_eq!(faults(&REAL.replace("    needs: [verify]", "    # needs: [verify]")).len(), 1);
    }

    #[test]
    fn a_condition_that_overrides_the_need_is_caught() {
        let broken = REAL.replace("    needs: [verify]\n", "    needs: [verify]\n    if: always()\n");
        assert_eq!(faults(&broken), ["the job `publish` publishes even if `verify` has failed"]);
    }

    #[test]
    fn a_verify_job_that_verifies_nothing_is_caught() {
        assert_eq!(faults(&REAL.replace(".ci/run", "true")), ["there is no job `verify` that runs .ci/run"]);
    }

    #[test]
    fn every_way_to_write_a_need_counts() {
        let job = |needs: &str| {
            format!("jobs:\n  verify:\n    run: .ci/run\n  publish:\n{needs}    run: cargo publish\n")
        };
        for needs in
            ["    needs: verify\n", "    needs: [a, verify]\n", "    needs:\n      - a\n      - verify\n"]
        {
            assert!(faults(&job(needs)).is_empty(), "{needs}");
        }
        assert_eq!(faults(&job("")).len(), 1);
    }
}
