//! A map that cannot grow without bound: at its capacity what has lapsed makes room, then what is oldest.

use std::collections::HashMap;
use std::collections::hash_map::Entry;
use std::hash::Hash;

/// So many entries at most.
pub struct Table<K, V> {
    entries: HashMap<K, Aged<V>>,
    capacity: usize,
    added: u64,
}

struct Aged<V> {
    number: u64,
    value: V,
}

impl<K: Hash + Eq, V> Table<K, V> {
    /// An empty one.
    pub fn new(capacity: usize) -> Self {
        Self { entries: HashMap::new(), capacity, added: 0 }
    }

    /// The entry, if there is one.
    pub fn get_mut(&mut self, key: &K) -> Option<&mut V> {
        self.entries.get_mut(key).map(|aged| &mut aged.value)
    }

    /// The entry, made first if there is none. `lapsed` tells which entries mean nothing any more.
    pub fn get_or_add(&mut self, key: K, value: V, lapsed: impl Fn(&V) -> bool) -> &mut V {
        if self.entries.len() >= self.capacity && !self.entries.contains_key(&key) {
            self.make_room(lapsed);
        }
        match self.entries.entry(key) {
            Entry::Occupied(entry) => &mut entry.into_mut().value,
            Entry::Vacant(entry) => {
                self.added += 1;
                &mut entry.insert(Aged { number: self.added, value }).value
            }
        }
    }

    /// Removes the entry.
    pub fn remove(&mut self, key: &K) -> Option<V> {
        self.entries.remove(key).map(|aged| aged.value)
    }

    /// An eighth at once, so that a flood of new keys does not search the whole table for each.
    fn make_room(&mut self, lapsed: impl Fn(&V) -> bool) {
        self.entries.retain(|_, aged| !lapsed(&aged.value));
        let surplus = (self.entries.len() + self.capacity.div_ceil(8)).saturating_sub(self.capacity);
        if surplus > 0 {
            let mut numbers: Vec<u64> = self.entries.values().map(|aged| aged.number).collect();
            let (_, newest_to_go, _) = numbers.select_nth_unstable(surplus - 1);
            let newest_to_go = *newest_to_go;
            self.entries.retain(|_, aged| aged.number > newest_to_go);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_lapsed_make_room_first_and_then_the_oldest() {
        for capacity in [1, 2, 7, 8, 100] {
            let mut table = Table::new(capacity);
            for key in 0..1000 {
                *table.get_or_add(key, 0, |_| false) += key;
                assert!(table.entries.len() <= capacity);
                assert_eq!(table.get_mut(&key), Some(&mut key.clone()));
            }
        }
        let mut table = Table::new(8);
        for key in 0..8 {
            table.get_or_add(key, key, |_| false);
        }
        table.get_or_add(8, 8, |value| value % 2 == 1);
        let mut left: Vec<i32> = table.entries.keys().copied().collect();
        left.sort_unstable();
        assert_eq!(left, [0, 2, 4, 6, 8]);
        assert_eq!((table.remove(&8), table.remove(&8)), (Some(8), None));
    }
}
