//! A map that can take back what was done to it.

use std::{
    borrow::Borrow,
    collections::{BTreeMap, btree_map},
    ops::RangeBounds,
};

/// An ordered map with an undo journal: what an operation that fails did costs as much to take back as it cost to do,
/// however many rows there are.
pub(crate) struct Table<K, V = ()> {
    rows: BTreeMap<K, V>,
    undo: Vec<(K, Option<V>)>,
}

impl<K, V> Default for Table<K, V> {
    fn default() -> Self {
        Self { rows: BTreeMap::new(), undo: Vec::new() }
    }
}

impl<K: Ord + Clone, V> Table<K, V> {
    pub(crate) fn insert(&mut self, key: K, value: V) {
        let before = self.rows.insert(key.clone(), value);
        self.undo.push((key, before));
    }
    /// Answers what was there.
    pub(crate) fn remove(&mut self, key: &K) -> Option<&V> {
        let (key, value) = self.rows.remove_entry(key)?;
        self.undo.push((key, Some(value)));
        self.undo.last().and_then(|(_, value)| value.as_ref())
    }
    pub(crate) fn remove_range(&mut self, range: impl RangeBounds<K>) {
        let keys: Vec<K> = self.rows.range(range).map(|(key, _)| key.clone()).collect();
        for key in &keys {
            self.remove(key);
        }
    }
    pub(crate) fn get<Q: Ord + ?Sized>(&self, key: &Q) -> Option<&V>
    where
        K: Borrow<Q>,
    {
        self.rows.get(key)
    }
    pub(crate) fn contains(&self, key: &K) -> bool {
        self.rows.contains_key(key)
    }
    pub(crate) fn range(&self, range: impl RangeBounds<K>) -> btree_map::Range<'_, K, V> {
        self.rows.range(range)
    }
    pub(crate) fn iter(&self) -> btree_map::Iter<'_, K, V> {
        self.rows.iter()
    }
    pub(crate) fn commit(&mut self) {
        self.undo.clear();
    }
    pub(crate) fn roll_back(&mut self) {
        while let Some((key, before)) = self.undo.pop() {
            match before {
                Some(value) => self.rows.insert(key, value),
                None => self.rows.remove(&key),
            };
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_committed_is_taken_back_in_reverse() {
        let mut table = Table::default();
        table.insert(1, "a");
        table.insert(2, "b");
        table.commit();
        table.insert(1, "x");
        table.insert(1, "y");
        table.remove(&2);
        table.insert(2, "z");
        table.insert(3, "c");
        table.remove_range(2..);
        assert_eq!(table.remove(&9), None);
        table.roll_back();
        assert_eq!(table.iter().collect::<Vec<_>>(), [(&1, &"a"), (&2, &"b")]);
    }
}
