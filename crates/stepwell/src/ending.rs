//! What is known of the end of a phase while its handler runs.

use std::{
    any::{TypeId, type_name},
    sync::{
        OnceLock,
        atomic::{AtomicBool, Ordering},
    },
};

/// What a phase is to return, and whether it has been completed inside the application's own transaction.
#[derive(Default)]
pub(crate) struct Ending {
    /// None in a phase whose end is not one handler's.
    output: OnceLock<(TypeId, &'static str)>,
    settled: AtomicBool,
}

impl Ending {
    /// The handler is one that ends its phase, with a value of this type.
    pub(crate) fn expect<O: 'static>(&self) {
        self.output.get_or_init(|| (TypeId::of::<O>(), type_name::<O>()));
    }
    /// What the handler returns.
    #[cfg_attr(
        not(any(feature = "rusqlite", feature = "tokio-postgres", feature = "sqlx")),
        expect(dead_code)
    )]
    pub(crate) fn output(&self) -> Option<(TypeId, &'static str)> {
        self.output.get().copied()
    }
    /// The phase was completed in a transaction, of which nobody knows yet whether it is committed.
    #[cfg_attr(
        not(any(feature = "rusqlite", feature = "tokio-postgres", feature = "sqlx")),
        expect(dead_code)
    )]
    pub(crate) fn settle(&self) {
        self.settled.store(true, Ordering::SeqCst);
    }
    /// Whether it was.
    pub(crate) fn is_settled(&self) -> bool {
        self.settled.load(Ordering::SeqCst)
    }
}
