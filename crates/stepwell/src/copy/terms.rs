//! Which copy it is, and whether it may be made.

use stepwell_core::{
    Error, Result,
    store::copy::{Arrived, Destination, Note, Source, Standing, Table},
};

/// On which terms a copy is made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Terms {
    /// It begins.
    Anew,
    /// This one goes on, because so much has arrived.
    On([u8; 16], Arrived),
}

/// Decides by what the two stores say of themselves.
pub(super) fn agree(source: &Standing, destination: &Standing) -> Result<Terms> {
    if let Some(Note::Destination { from, .. }) = &source.note {
        return Err(Error::refused(format!(
            "the source is itself the beginning of a copy of {from}; finish that one first"
        )));
    }
    match (&source.note, &destination.note) {
        (Some(Note::Source { id, .. }), Some(Note::Destination { id: other, arrived, .. }))
            if id == other =>
        {
            Ok(Terms::On(*id, *arrived))
        }
        (_, Some(Note::Destination { from, .. })) => Err(Error::refused(format!(
            "the destination holds the beginning of another copy, of {from}, which cannot go on: its source was used \
             since, or it is of another store. Remove the file, or drop the schema, and try again"
        ))),
        _ if source.generation == destination.generation => Err(Error::refused(
            "the destination is the source itself, or a copy of it already; name another destination",
        )),
        (_, Some(Note::Source { to, .. })) => Err(Error::refused(format!(
            "the destination holds a store that was copied to {to}; name another destination"
        ))),
        (Some(Note::Source { to, done: true, .. }), None) => Err(Error::refused(format!(
            "the source was copied to {to}, where the work goes on. If it does not, remove that copy, and let the \
             source be used again with `stepwell db unseal`"
        ))),
        _ => Ok(Terms::Anew),
    }
}

/// Refuses a destination that holds something.
pub(super) fn check_empty(destination: &mut dyn Destination) -> Result<()> {
    let refused = |what: String| {
        Error::refused(format!(
            "the destination is not empty: it holds {what}; name a new file, or a schema in which no server was started"
        ))
    };
    for table in Table::ALL {
        match destination.count(table)? {
            0 => {}
            1 => return Err(refused(format!("a record of the table `{}`", table.name()))),
            n => return Err(refused(format!("{n} records of the table `{}`", table.name()))),
        }
    }
    match destination.head()?.next_pos {
        1 => Ok(()),
        _ => Err(refused("a log that has begun".to_owned())),
    }
}

/// Seals the source and begins at the destination, in that order: a source that is sealed for a copy of which nothing
/// exists can be copied again.
pub(super) fn begin(source: &mut dyn Source, destination: &mut dyn Destination, id: [u8; 16]) -> Result<()> {
    source.seal(id, &destination.location())?;
    destination.begin(id, &source.location())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn standing(generation: u8, note: Option<Note>) -> Standing {
        Standing { generation: [generation; 16], note }
    }
    fn source(id: u8, done: bool) -> Option<Note> {
        Some(Note::Source { id: [id; 16], to: "there".into(), done })
    }
    fn destination(id: u8) -> Option<Note> {
        Some(Note::Destination { id: [id; 16], from: "here".into(), arrived: Arrived::nothing().and(7) })
    }

    #[test]
    fn a_copy_begins_between_a_store_and_an_empty_one() {
        let agreed = agree(&standing(1, None), &standing(2, None)).unwrap();
        assert_eq!(agreed, Terms::Anew);
        // Of an earlier one, nothing is left.
        assert_eq!(agree(&standing(1, source(9, false)), &standing(2, None)).unwrap(), Terms::Anew);
    }

    #[test]
    fn a_copy_goes_on_where_it_stood() {
        for done in [false, true] {
            let agreed = agree(&standing(1, source(9, done)), &standing(2, destination(9))).unwrap();
            assert_eq!(agreed, Terms::On([9; 16], Arrived::nothing().and(7)));
        }
        // The head was written already.
        let agreed = agree(&standing(1, source(9, true)), &standing(1, destination(9))).unwrap();
        assert_eq!(agreed, Terms::On([9; 16], Arrived::nothing().and(7)));
    }

    #[test]
    fn what_would_mix_two_stories_is_refused() {
        let refused = |here: Option<Note>, there: Standing, why: &str| {
            let error = agree(&standing(1, here), &there).unwrap_err().to_string();
            assert!(error.contains(why), "{error}");
        };
        refused(None, standing(2, destination(9)), "the beginning of another copy, of here");
        refused(source(8, false), standing(2, destination(9)), "the beginning of another copy");
        refused(source(9, true), standing(2, None), "was copied to there");
        refused(None, standing(1, None), "the source itself");
        refused(source(9, true), standing(1, None), "a copy of it already");
        refused(None, standing(2, source(9, true)), "was copied to there");
        refused(destination(9), standing(2, None), "finish that one first");
    }
}
