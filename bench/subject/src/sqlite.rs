//! Reads back the durability of a connection that a queue keeps to itself.
//!
//! `synchronous` belongs to a connection, not to the file, so it cannot be asked for on another one. SQLite calls a
//! registered function for every connection it opens; from the moment of [`watch`] the first one is remembered.
use std::{
    ffi::{CStr, c_char, c_int, c_void},
    ptr,
    sync::atomic::{AtomicPtr, Ordering::SeqCst},
};

use crate::{Durability, Result};

/// The SQLite that this program links.
#[must_use]
pub fn version() -> String {
    // SAFETY: SQLite returns a terminated string that lives as long as the program.
    let version = unsafe { CStr::from_ptr(sqlite3_libversion()) };
    format!("SQLite {}", version.to_string_lossy())
}

type Entry = unsafe extern "C" fn(*mut c_void, *mut *mut c_char, *const c_void) -> c_int;
type Row = unsafe extern "C" fn(*mut c_void, c_int, *mut *mut c_char, *mut *mut c_char) -> c_int;

// Declared here because the subjects link different versions of SQLite through different crates.
unsafe extern "C" {
    fn sqlite3_libversion() -> *const c_char;
    fn sqlite3_auto_extension(entry: Option<Entry>) -> c_int;
    fn sqlite3_exec(
        connection: *mut c_void,
        sql: *const c_char,
        row: Option<Row>,
        answer: *mut c_void,
        message: *mut *mut c_char,
    ) -> c_int;
}

static FIRST: AtomicPtr<c_void> = AtomicPtr::new(ptr::null_mut());

/// Remembers the next connection that this process opens.
///
/// # Errors
/// If SQLite does not take the function.
pub fn watch() -> Result<()> {
    // SAFETY: `remember` has the signature that SQLite asks for and lives as long as the program.
    match unsafe { sqlite3_auto_extension(Some(remember)) } {
        0 => Ok(()),
        code => Err(format!("could not watch connections: SQLite error {code}").into()),
    }
}

/// Asks the remembered connection.
///
/// # Safety
/// The connection must still be open, and nobody may use it during the call: the queue must be idle.
///
/// # Errors
/// If no connection was opened, or it does not answer.
pub unsafe fn durability() -> Result<Durability> {
    // SAFETY: passed on to the caller.
    let (journal_mode, synchronous) =
        unsafe { (pragma(c"PRAGMA main.journal_mode")?, pragma(c"PRAGMA main.synchronous")?) };
    Ok(Durability::sqlite(&journal_mode, synchronous.parse()?))
}

unsafe extern "C" fn remember(connection: *mut c_void, _: *mut *mut c_char, _: *const c_void) -> c_int {
    // Only the first one counts, so a lost race is as it should be.
    let _ = FIRST.compare_exchange(ptr::null_mut(), connection, SeqCst, SeqCst);
    0
}

unsafe fn pragma(sql: &CStr) -> Result<String> {
    let connection = FIRST.load(SeqCst);
    if connection.is_null() {
        return Err("no connection has been opened".into());
    }
    let mut answer = String::new();
    // SAFETY: the connection is open and idle, and `answer` outlives the call that writes to it.
    let code = unsafe {
        sqlite3_exec(connection, sql.as_ptr(), Some(keep), (&raw mut answer).cast(), ptr::null_mut())
    };
    if code == 0 { Ok(answer) } else { Err(format!("{sql:?} failed: SQLite error {code}").into()) }
}

unsafe extern "C" fn keep(
    answer: *mut c_void,
    columns: c_int,
    values: *mut *mut c_char,
    _: *mut *mut c_char,
) -> c_int {
    // SAFETY: `answer` is the string that `pragma` passed in; SQLite gives `columns` values, null or terminated.
    unsafe {
        if columns > 0 && !(*values).is_null() {
            *answer.cast::<String>() = CStr::from_ptr(*values).to_string_lossy().into_owned();
        }
    }
    0
}
