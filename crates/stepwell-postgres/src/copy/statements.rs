//! How each table is read and written.

use stepwell_core::store::copy::Table;

use crate::sql::sql;

/// The statement that reads a table.
pub(super) const fn read(table: Table) -> &'static str {
    match table {
        Table::Session => sql!("copy", "read_session"),
        Table::Plan => sql!("copy", "read_plan"),
        Table::Queue => sql!("copy", "read_queue"),
        Table::Cursor => sql!("copy", "read_cursor"),
        Table::Scope => sql!("copy", "read_scope"),
        Table::Setting => sql!("copy", "read_setting"),
        Table::Event => sql!("copy", "read_event"),
        Table::Job => sql!("copy", "read_job"),
        Table::Payload => sql!("copy", "read_payload"),
        Table::Result => sql!("copy", "read_result"),
        Table::Archive => sql!("copy", "read_archive"),
        Table::Checkpoint => sql!("copy", "read_checkpoint"),
        Table::Element => sql!("copy", "read_element"),
        Table::Log => sql!("copy", "read_log"),
        Table::Tag => sql!("copy", "read_tag"),
        Table::Attribute => sql!("copy", "read_attribute"),
        Table::Inbox => sql!("copy", "read_inbox"),
        Table::InboxDone => sql!("copy", "read_inbox_done"),
    }
}

/// The statement that writes records of a table.
pub(super) const fn write(table: Table) -> &'static str {
    match table {
        Table::Session => sql!("copy", "write_session"),
        Table::Plan => sql!("copy", "write_plan"),
        Table::Queue => sql!("copy", "write_queue"),
        Table::Cursor => sql!("copy", "write_cursor"),
        Table::Scope => sql!("copy", "write_scope"),
        Table::Setting => sql!("copy", "write_setting"),
        Table::Event => sql!("copy", "write_event"),
        Table::Job => sql!("copy", "write_job"),
        Table::Payload => sql!("copy", "write_payload"),
        Table::Result => sql!("copy", "write_result"),
        Table::Archive => sql!("copy", "write_archive"),
        Table::Checkpoint => sql!("copy", "write_checkpoint"),
        Table::Element => sql!("copy", "write_element"),
        Table::Log => sql!("copy", "write_log"),
        Table::Tag => sql!("copy", "write_tag"),
        Table::Attribute => sql!("copy", "write_attribute"),
        Table::Inbox => sql!("copy", "write_inbox"),
        Table::InboxDone => sql!("copy", "write_inbox_done"),
    }
}

/// The statement that counts the records of a table.
pub(super) fn count(table: Table) -> String {
    sql!("copy", "count").replace("records", read(table))
}

/// The statement that opens a cursor on all records of a table but the first so many.
pub(super) fn rest(table: Table, skip: u64) -> String {
    sql!("copy", "rest").replace("records", read(table)).replace("OFFSET 0", &format!("OFFSET {skip}"))
}

/// The statement that reads so many records from it.
pub(super) fn fetch(records: usize) -> String {
    sql!("copy", "fetch").replace(" 1 ", &format!(" {records} "))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use stepwell_postgres_rig::Database;

    use super::*;
    use crate::{Postgres, PostgresOptions};

    /// What a copy makes anew: where events stand in batches, what only this database needs, and what only a live
    /// session says.
    const MADE_ANEW: [&str; 15] = [
        "event.day",
        "event.seq",
        "event.upto",
        "event.prev_seq",
        "event.prev_upto",
        "job.last_seq",
        "job.last_upto",
        "session.n",
        "session.expires_at",
        "session.dead",
        "session.about",
        "session.beat_at",
        "session.state",
        "session.desired",
        "session.desired_n",
    ];
    /// What is copied in their stead.
    const IN_THEIR_STEAD: [&str; 3] = ["event.last_pos", "event.prev_pos", "job.last_event_pos"];
    /// Tables that are not copied as such: the first three are the head.
    const OTHER_TABLES: [&str; 9] =
        ["meta", "log_head", "log_tail", "event_batch", "name", "counter", "committer", "migration", "copy"];

    #[test]
    fn every_column_is_copied_or_made_anew() {
        let database = Database::create().unwrap();
        drop(Postgres::open(&PostgresOptions::new(database.url(), [7; 16])).unwrap());
        let columns = "SELECT c.table_name || '.' || c.column_name FROM information_schema.columns c
            JOIN information_schema.tables t USING (table_schema, table_name)
            WHERE c.table_schema = 'stepwell' AND t.table_type = 'BASE TABLE' AND c.table_name !~ '^event_d'";
        let stored = database.query(columns).unwrap().into_iter().flatten().flatten();
        let stored: BTreeSet<String> =
            stored.filter(|column| !OTHER_TABLES.contains(&column.split('.').next().unwrap())).collect();
        let name = |table: Table| match table {
            Table::Inbox => "stepwell_inbox",
            table => table.name(),
        };
        let columns = Table::ALL.into_iter().flat_map(|table| {
            table.columns().iter().map(move |column| format!("{}.{}", name(table), column.name))
        });
        let copied = columns.filter(|column| !IN_THEIR_STEAD.contains(&column.as_str()));
        let known: BTreeSet<String> = copied.chain(MADE_ANEW.map(str::to_owned)).collect();
        assert_eq!(stored, known, "add what is new to the tables of a copy, and to both stores");
    }

    #[test]
    fn a_cursor_begins_where_it_is_told() {
        let rest = rest(Table::Cursor, 7);
        assert!(rest.starts_with("DECLARE copied") && rest.ends_with("COLLATE \"C\" OFFSET 7"), "{rest}");
        assert_eq!(fetch(20), "FETCH FORWARD 20 FROM copied");
    }
}
