//! Handles of earlier phases, as one phase's inputs.

use serde::de::DeserializeOwned;
use stepwell_core::{Json, Name, Result};

use crate::plan::Phase;

/// Handles of earlier phases, as one phase's inputs: `()`, a [`Phase`], or a tuple of them.
#[diagnostic::on_unimplemented(
    message = "`{Self}` cannot be the inputs of a phase",
    note = "the inputs are `()`, one handle, or a tuple of two to four handles of earlier phases"
)]
pub trait Inputs {
    /// What the phase's function is given, decoded.
    type Values: Send;
    /// The names of the phases.
    fn names(&self) -> Vec<Name>;
    /// Decodes stored results, one for each name.
    ///
    /// # Errors
    /// If a stored result is not what the phase expects: a deploy changed a type, say.
    fn decode(stored: &[Json]) -> Result<Self::Values>;
}

impl Inputs for () {
    type Values = ();
    fn names(&self) -> Vec<Name> {
        Vec::new()
    }
    fn decode(_: &[Json]) -> Result<()> {
        Ok(())
    }
}

impl<A: DeserializeOwned + Send> Inputs for Phase<'_, A> {
    type Values = (A,);
    fn names(&self) -> Vec<Name> {
        vec![self.name()]
    }
    fn decode(stored: &[Json]) -> Result<(A,)> {
        Ok((stored[0].decode()?,))
    }
}

macro_rules! tuple_of_handles {
    ($($T:ident $i:tt),+) => {
        impl<$($T: DeserializeOwned + Send),+> Inputs for ($(Phase<'_, $T>,)+) {
            type Values = ($($T,)+);
            fn names(&self) -> Vec<Name> {
                vec![$(self.$i.name()),+]
            }
            fn decode(stored: &[Json]) -> Result<Self::Values> {
                Ok(($(stored[$i].decode::<$T>()?,)+))
            }
        }
    };
}
tuple_of_handles!(A 0, B 1);
tuple_of_handles!(A 0, B 1, C 2);
tuple_of_handles!(A 0, B 1, C 2, D 3);
