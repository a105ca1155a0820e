//! The phases of one job.

use std::{
    ops::{Deref, DerefMut},
    sync::Arc,
};

use serde::{Deserialize, Serialize};

use crate::phase::Phase;

/// The phases of one job: those that ran, in the order in which they did, then the others in the plan's order.
///
/// A copy shares the list until one of the two changes it. A job is copied at every transition and for every answer,
/// and most of these copies are only looked at.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Phases(Arc<Vec<Phase>>);

impl Deref for Phases {
    type Target = Vec<Phase>;
    fn deref(&self) -> &Vec<Phase> {
        &self.0
    }
}
impl DerefMut for Phases {
    fn deref_mut(&mut self) -> &mut Vec<Phase> {
        Arc::make_mut(&mut self.0)
    }
}
impl From<Vec<Phase>> for Phases {
    fn from(phases: Vec<Phase>) -> Self {
        Self(Arc::new(phases))
    }
}
impl FromIterator<Phase> for Phases {
    fn from_iter<I: IntoIterator<Item = Phase>>(phases: I) -> Self {
        Vec::from_iter(phases).into()
    }
}
impl IntoIterator for Phases {
    type Item = Phase;
    type IntoIter = std::vec::IntoIter<Phase>;
    fn into_iter(self) -> Self::IntoIter {
        Arc::unwrap_or_clone(self.0).into_iter()
    }
}
impl<'a> IntoIterator for &'a Phases {
    type Item = &'a Phase;
    type IntoIter = std::slice::Iter<'a, Phase>;
    fn into_iter(self) -> Self::IntoIter {
        self.0.iter()
    }
}
impl<'a> IntoIterator for &'a mut Phases {
    type Item = &'a mut Phase;
    type IntoIter = std::slice::IterMut<'a, Phase>;
    fn into_iter(self) -> Self::IntoIter {
        self.iter_mut()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_that_changes_leaves_the_other_alone() {
        let one: Phases = vec![Phase::pending("a".into(), 3, None)].into();
        let mut other = one.clone();
        other[0].tries = 1;
        assert_eq!((one[0].tries, other[0].tries), (0, 1));
        assert_eq!(serde_json::to_string(&one).unwrap(), r#"[{"name":"a","state":"pending","maxTries":3}]"#);
    }
}
