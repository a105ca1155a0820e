//! Small records of the layers above, and the cursors of durable readers.

use std::ops::Bound;

use stepwell_core::{
    Json, Name, Timestamp,
    setting::{Setting, Settings, SettingsRequest},
};

use crate::state::State;

impl State {
    pub(crate) fn setting(&self, scope: &Name, key: &str) -> Option<&Setting> {
        self.settings.get(&(scope.clone(), key.to_owned()))
    }
    pub(crate) fn revision(&self, scope: &Name) -> u64 {
        self.revisions.get(scope).copied().unwrap_or(0)
    }
    pub(crate) fn put_setting(
        &mut self,
        scope: &Name,
        key: &str,
        value: Option<&Json>,
        at: Timestamp,
    ) -> u64 {
        let version = self.revision(scope) + 1;
        self.revisions.insert(scope.clone(), version);
        let place = (scope.clone(), key.to_owned());
        match value.cloned() {
            Some(value) => {
                let setting = Setting { scope: scope.clone(), key: key.to_owned(), version, at, value };
                self.settings.insert(place, setting);
            }
            None => {
                self.settings.remove(&place);
            }
        }
        version
    }
    pub(crate) fn lowest_cursor(&self) -> Option<u64> {
        self.cursors.iter().map(|(_, pos)| *pos).min()
    }
    pub(crate) fn page_of_settings(&self, request: &SettingsRequest) -> Settings {
        let place = |key: &str| (request.scope.clone(), key.to_owned());
        let first = Bound::Included(place(&request.prefix));
        let (from, to) = match (&request.after, request.descending) {
            (None, _) => (first, Bound::Unbounded),
            (Some(after), false) => (first.max_bound(place(after)), Bound::Unbounded),
            (Some(after), true) => (first, Bound::Excluded(place(after))),
        };
        // An empty range, which a map refuses to look through.
        if let (Bound::Included(from) | Bound::Excluded(from), Bound::Excluded(to)) = (&from, &to)
            && from >= to
        {
            return Settings { items: Vec::new(), revision: self.revision(&request.scope) };
        }
        let of_request =
            |setting: &&Setting| setting.scope == request.scope && setting.key.starts_with(&request.prefix);
        let found = self.settings.range((from, to)).map(|(_, setting)| setting);
        let items = match request.descending {
            true => {
                // What stands behind the prefix comes first, and is passed over.
                found.rev().filter(of_request).take(request.limit()).cloned().collect()
            }
            false => found.take_while(of_request).take(request.limit()).cloned().collect(),
        };
        Settings { items, revision: self.revision(&request.scope) }
    }
    pub(crate) fn prune_settings(&mut self, scope: &Name, cutoff: Timestamp, limit: usize) -> usize {
        let old: Vec<_> = self
            .settings
            .range((scope.clone(), String::new())..)
            .take_while(|((of, _), _)| of == scope)
            .filter(|(_, setting)| setting.at <= cutoff)
            .take(limit)
            .map(|(place, _)| place.clone())
            .collect();
        for place in &old {
            self.settings.remove(place);
        }
        old.len()
    }
}

trait MaxBound<T> {
    /// The later of two beginnings of a range, the second of which is excluded.
    fn max_bound(self, after: T) -> Bound<T>;
}
impl<T: Ord> MaxBound<T> for Bound<T> {
    fn max_bound(self, after: T) -> Bound<T> {
        match self {
            Bound::Included(first) if first > after => Bound::Included(first),
            _ => Bound::Excluded(after),
        }
    }
}
