//! The hash tree over a page: one signature for all its keys, a short path for each.

use sealwire_core::kdf::{self, HASH_LEN};

use super::{Kind, PrekeyId};

pub(super) type Hash = [u8; HASH_LEN];

/// The longest path: a page has at most 100 leaves.
pub(super) const MAX_PATH: usize = 7;

// PRE-10: leaves and nodes begin with different bytes, so that neither passes for the other.
pub(super) fn leaf(kind: Kind, id: PrekeyId, key: &[u8]) -> Hash {
    kdf::sha256(&[&[0x00, kind.id()], &id.get().to_be_bytes(), key])
}

fn node(left: &Hash, right: &Hash) -> Hash {
    kdf::sha256(&[&[0x01], left, right])
}

/// The root over `leaves` (RFC 9162, section 2.1.1), `None` when there are none.
pub(super) fn root(leaves: &[Hash]) -> Option<Hash> {
    match leaves {
        [] => None,
        [leaf] => Some(*leaf),
        _ => {
            let (left, right) = split(leaves)?;
            Some(node(&root(left)?, &root(right)?))
        }
    }
}

/// The siblings of leaf `index`, from the leaf to the root (RFC 9162, section 2.1.3.1).
pub(super) fn path(leaves: &[Hash], index: usize) -> Option<Vec<Hash>> {
    if leaves.len() == 1 {
        return (index == 0).then(Vec::new);
    }
    let (left, right) = split(leaves)?;
    let (mut path, sibling) = match index.checked_sub(left.len()) {
        None => (path(left, index)?, root(right)?),
        Some(index) => (path(right, index)?, root(left)?),
    };
    path.push(sibling);
    Some(path)
}

/// The root that `path` leads to from leaf `index` of `count`, `None` when the path is not
/// exactly as long as the shape demands (RFC 9162, section 2.1.3.2).
pub(super) fn root_from(leaf: Hash, index: u32, count: u32, path: &[Hash]) -> Option<Hash> {
    let (mut index, mut last) = (index, count.checked_sub(1)?);
    if index > last {
        return None;
    }
    let mut hash = leaf;
    for sibling in path {
        // "If sn is 0, then stop the iteration and fail the proof verification."
        if last == 0 {
            return None;
        }
        if index & 1 == 1 || index == last {
            hash = node(sibling, &hash);
            // "right-shift both fn and sn equally until either LSB(fn) is set or fn is 0"
            while index & 1 == 0 && index != 0 {
                index >>= 1;
                last >>= 1;
            }
        } else {
            hash = node(&hash, sibling);
        }
        index >>= 1;
        last >>= 1;
    }
    (last == 0).then_some(hash)
}

/// Splits behind the largest power of two smaller than the number of leaves.
fn split(leaves: &[Hash]) -> Option<(&[Hash], &[Hash])> {
    let exponent = leaves.len().checked_sub(1)?.checked_ilog2()?;
    leaves.split_at_checked(1 << exponent)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn leaves(count: u32) -> Vec<Hash> {
        (1..=count)
            .map(|id| leaf(Kind::X25519, PrekeyId::new(id).expect("from 1"), &id.to_be_bytes()))
            .collect()
    }

    // PRE-10
    #[test]
    fn every_path_of_every_size_leads_to_the_root() {
        for count in 1..=100 {
            let leaves = leaves(count);
            let root = root(&leaves).expect("leaves");
            for (index, leaf) in (0..).zip(&leaves) {
                let path = path(&leaves, index as usize).expect("a leaf");
                assert!(path.len() <= MAX_PATH);
                assert_eq!(root_from(*leaf, index, count, &path), Some(root), "{index}/{count}");
            }
        }
    }

    // The tree of RFC 9162, section 2.1.5, with seven leaves, put together by hand.
    #[test]
    fn the_shape_is_that_of_rfc_9162() {
        let [a, b, c, d, e, f, j] = leaves(7).try_into().expect("seven");
        let [g, h, i] = [node(&a, &b), node(&c, &d), node(&e, &f)];
        let [k, l] = [node(&g, &h), node(&i, &j)];
        let all = [a, b, c, d, e, f, j];
        assert_eq!(root(&all), Some(node(&k, &l)));
        assert_eq!(path(&all, 0), Some(vec![b, h, l]));
        assert_eq!(path(&all, 3), Some(vec![c, g, l]));
        assert_eq!(path(&all, 4), Some(vec![f, j, k]));
        assert_eq!(path(&all, 6), Some(vec![i, k]));
    }

    #[test]
    fn no_other_path_leads_to_the_root() {
        for count in [1, 2, 3, 7, 50, 100] {
            let leaves = leaves(count);
            let root = root(&leaves).expect("leaves");
            for (index, leaf) in (0..count).zip(&leaves) {
                let path = path(&leaves, index as usize).expect("a leaf");
                let refused = |what: &str, index, count, path: &[Hash]| {
                    let found = root_from(*leaf, index, count, path);
                    assert_ne!(found, Some(root), "{what} of {index}/{count}");
                };
                refused("one longer", index, count, &[&path[..], &[root]].concat());
                for cut in 0..path.len() {
                    refused("cut", index, count, &path[..cut]);
                    let mut swapped = path.clone();
                    swapped[cut] = *leaf;
                    refused("another sibling", index, count, &swapped);
                }
                for other in (0..count).filter(|other| *other != index) {
                    refused("another index", other, count, &path);
                }
                refused("behind the end", count, count, &path);
                refused("an empty page", 0, 0, &path);
            }
        }
    }

    // PRE-10: what is a leaf in one tree is no node of another.
    #[test]
    fn leaves_and_nodes_are_apart() {
        let [a, b] = leaves(2).try_into().expect("two");
        let as_key = [&a[..], &b].concat();
        let id = PrekeyId::MIN;
        assert_ne!(leaf(Kind::X25519, id, &as_key), node(&a, &b));
        assert_ne!(leaf(Kind::X25519, id, &a), leaf(Kind::MlKem, id, &a));
        assert_ne!(leaf(Kind::X25519, id, &a), leaf(Kind::X25519, PrekeyId::MAX, &a));
    }
}
