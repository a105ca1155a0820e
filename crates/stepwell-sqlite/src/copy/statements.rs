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

/// The statement that writes a record of a table.
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

/// The statement that reads all records of a table but the first so many.
pub(super) fn rest(table: Table) -> String {
    sql!("copy", "rest").replace("records", read(table))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use rusqlite::Connection;

    use super::*;

    /// What a copy makes anew: what another column says, too, what only this file needs, and what only a live session
    /// says.
    const MADE_ANEW: [&str; 10] = [
        "sw_job.unique_live",
        "sw_job.failed_at",
        "sw_job.cancelled_at",
        "sw_session.n",
        "sw_session.slot",
        "sw_session.pid",
        "sw_session.dead",
        "sw_session.about",
        "sw_session.state",
        "sw_session.desired",
    ];
    /// Tables that are not copied as such: `sw_meta` is the head.
    const OTHER_TABLES: [&str; 5] = ["sw_meta", "sw_name", "sw_counter", "sw_migration", "sw_copy"];

    fn schema() -> Connection {
        let conn = Connection::open_in_memory().unwrap();
        crate::migrate::run(&conn, [7; 16], stepwell_core::Timestamp::default()).unwrap();
        conn
    }

    #[test]
    fn every_column_is_copied_or_made_anew() {
        let conn = schema();
        let mut ask = conn.prepare(
            "SELECT t.name || '.' || c.name FROM pragma_table_list t JOIN pragma_table_info(t.name) c
             WHERE t.type = 'table' AND t.schema = 'main' AND t.name NOT LIKE 'sqlite%'",
        );
        let stored = ask.as_mut().unwrap().query_map([], |row| row.get(0)).unwrap();
        let mut stored: BTreeSet<String> = stored.collect::<rusqlite::Result<_>>().unwrap();
        stored.retain(|column| !OTHER_TABLES.contains(&column.split('.').next().unwrap()));
        let name = |table: Table| match table {
            Table::Inbox => "stepwell_inbox".to_owned(),
            table => format!("sw_{}", table.name()),
        };
        let columns = Table::ALL.into_iter().flat_map(|table| {
            table.columns().iter().map(move |column| format!("{}.{}", name(table), column.name))
        });
        let known: BTreeSet<String> = columns.chain(MADE_ANEW.map(str::to_owned)).collect();
        assert_eq!(stored, known, "add what is new to the tables of a copy, and to both stores");
    }

    #[test]
    fn what_is_read_has_the_columns_that_are_written() {
        let conn = schema();
        for table in Table::ALL {
            let read = conn.prepare(&rest(table)).unwrap();
            #[allow(
                clippy::useless_conversion,
                reason = "an older rusqlite of the range answers with a list"
            )]
            let found: Vec<&str> = read.column_names().into_iter().collect();
            let wanted: Vec<&str> = table.columns().iter().map(|column| column.name).collect();
            assert_eq!(found, wanted, "{table:?}");
            assert_eq!(conn.prepare(write(table)).unwrap().parameter_count(), wanted.len(), "{table:?}");
            conn.prepare(&count(table)).unwrap();
        }
    }
}
