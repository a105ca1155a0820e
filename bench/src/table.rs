//! The figures of all rounds: median, spread, and ratios to the bare store and to the other queue.
use std::fmt;

use serde::{Serialize, Serializer};
use stepwell_bench_subject::{Report, Samples};

use crate::subject::Subject;

pub(crate) struct Table {
    /// What the other queue is called.
    peer: &'static str,
    rows: Vec<Row>,
}

struct Row {
    measure: String,
    subject: Subject,
    unit: &'static str,
    settings: String,
    durability: String,
    store: String,
    /// One per round.
    values: Vec<f64>,
}

impl Row {
    fn samples(&self) -> Samples {
        self.values.iter().copied().collect()
    }
}

impl Table {
    pub(crate) fn new(peer: &'static str) -> Self {
        Self { peer, rows: Vec::new() }
    }

    /// Adds one round's value.
    pub(crate) fn add(
        &mut self,
        measure: &str,
        subject: Subject,
        unit: &'static str,
        report: &Report,
        value: f64,
    ) {
        eprintln!("{measure}: {subject} {} {unit}", Number(value));
        if let Some(row) = self.rows.iter_mut().find(|row| row.measure == measure && row.subject == subject) {
            row.values.push(value);
            return;
        }
        let row = Row {
            measure: measure.into(),
            subject,
            unit,
            settings: report.settings.clone(),
            // A process that syncs nothing has a server that does.
            durability: match report.syncs {
                0 => report.durability.to_string(),
                syncs => format!("{}, {syncs} syncs", report.durability),
            },
            store: report.store.clone(),
            values: vec![value],
        };
        // After the last row of its measure, so that those to compare stand together.
        let after = self.rows.iter().rposition(|other| other.measure == measure);
        self.rows.insert(after.map_or(self.rows.len(), |at| at + 1), row);
    }

    /// The median over all rounds, if this was measured.
    pub(crate) fn median(&self, measure: &str, subject: Subject) -> Option<f64> {
        let row = self.rows.iter().find(|row| row.measure == measure && row.subject == subject)?;
        Some(row.samples().median())
    }

    fn ratio(&self, row: &Row, to: Subject) -> Option<f64> {
        let ratio = row.samples().median() / self.median(&row.measure, to)?;
        ratio.is_finite().then_some(ratio)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let head = ["measure", "subject", "settings", "durability", "median", "spread", "unit"];
        let head = head
            .into_iter()
            .map(String::from)
            .chain(["÷ bare".to_owned(), format!("÷ {}", self.peer)])
            .collect();
        let rows = self.rows.iter().map(|row| {
            let samples = row.samples();
            let ratio = |to| self.ratio(row, to).map_or_else(|| "–".into(), |ratio| format!("{ratio:.2}"));
            vec![
                row.measure.clone(),
                match row.subject {
                    Subject::Peer => self.peer.to_owned(),
                    subject => subject.to_string(),
                },
                row.settings.clone(),
                row.durability.clone(),
                Number(samples.median()).to_string(),
                format!("{} … {}", Number(samples.min()), Number(samples.max())),
                row.unit.into(),
                ratio(Subject::Bare),
                ratio(Subject::Peer),
            ]
        });
        let rows: Vec<Vec<String>> = std::iter::once(head).chain(rows).collect();
        let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
        let widths: Vec<usize> = (0..rows[0].len()).map(width).collect();
        for (at, row) in rows.iter().enumerate() {
            for (cell, width) in row.iter().zip(&widths) {
                write!(f, "| {cell:width$} ")?;
            }
            writeln!(f, "|")?;
            if at == 0 {
                widths.iter().try_for_each(|width| write!(f, "|{:-<1$}", "", width + 2))?;
                writeln!(f, "|")?;
            }
        }
        Ok(())
    }
}

impl Serialize for Table {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_seq(self.rows.iter().map(|row| {
            serde_json::json!({
                "measure": row.measure,
                "subject": row.subject,
                "unit": row.unit,
                "settings": row.settings,
                "durability": row.durability,
                "store": row.store,
                "values": row.values,
                "median": row.samples().median(),
                "toBare": self.ratio(row, Subject::Bare),
                "toPeer": self.ratio(row, Subject::Peer),
            })
        }))
    }
}

/// Three significant digits for what is small, whole numbers in groups of three for what is large.
pub(crate) struct Number(pub(crate) f64);

impl fmt::Display for Number {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.abs() {
            small if small < 1.0 => write!(f, "{:.3}", self.0),
            small if small < 10.0 => write!(f, "{:.2}", self.0),
            medium if medium < 100.0 => write!(f, "{:.1}", self.0),
            _ => {
                let digits = format!("{:.0}", self.0);
                for (at, digit) in digits.chars().enumerate() {
                    if at > 0 && (digits.len() - at) % 3 == 0 {
                        write!(f, ",")?;
                    }
                    write!(f, "{digit}")?;
                }
                Ok(())
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use stepwell_bench_subject::{Durability, Figures};

    use super::*;

    fn report() -> Report {
        let durability = Durability::sqlite("wal", 2);
        Report::new("defaults", "SQLite".into(), durability, Figures::new())
    }

    #[test]
    fn ratios_are_of_the_medians() {
        let mut table = Table::new("another");
        for value in [90.0, 100.0, 130.0] {
            table.add("drain", Subject::Bare, "jobs/s", &report(), value);
        }
        table.add("bulk", Subject::Bare, "jobs/s", &report(), 1.0);
        table.add("drain", Subject::Stepwell, "jobs/s", &report(), 75.0);
        assert_eq!(table.median("drain", Subject::Bare), Some(100.0));
        assert_eq!(table.ratio(&table.rows[1], Subject::Bare), Some(0.75));
        assert_eq!(table.ratio(&table.rows[1], Subject::Peer), None);
        assert!(table.to_string().contains("| drain   | stepwell | defaults | WAL FULL   | 75.0   |"));
    }

    #[test]
    fn numbers_are_short() {
        let shown = |number| Number(number).to_string();
        assert_eq!(shown(0.3456), "0.346");
        assert_eq!(shown(12.34), "12.3");
        assert_eq!(shown(999.6), "1,000");
        assert_eq!(shown(1_234_567.0), "1,234,567");
    }
}
