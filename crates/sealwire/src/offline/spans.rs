//! Which bytes of a large message are here.

use core::ops::Range;

/// The most stretches that are kept apart. Parts that overtake one another within a mailbox of
/// 1,000 frames make at most 500 of them; each costs 16 bytes in every row that is written.
// CON-13
pub(super) const MAX_SPANS: usize = 512;

/// Stretches of bytes that are here, ascending, none of them empty and no two of them touching.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Spans(Vec<Range<u64>>);

impl Spans {
    /// Reads what [`Spans::iter`] gave; `None` when it is not that.
    pub(super) fn from_ranges(ranges: Vec<Range<u64>>) -> Option<Self> {
        let touch = |pair: &[Range<u64>]| matches!(pair, [one, next] if next.start <= one.end);
        let wrong = ranges.iter().any(Range::is_empty) || ranges.windows(2).any(touch);
        (!wrong).then_some(Self(ranges))
    }

    pub(super) fn iter(&self) -> impl ExactSizeIterator<Item = &Range<u64>> {
        self.0.iter()
    }

    /// What of `range` is not here.
    pub(super) fn missing(&self, range: Range<u64>) -> Vec<Range<u64>> {
        let mut missing = Vec::new();
        let mut from = range.start;
        for span in self.0.iter().filter(|span| span.end > range.start && span.start < range.end) {
            missing.push(from..span.start);
            from = span.end;
        }
        missing.push(from..range.end);
        missing.retain(|range| !range.is_empty());
        missing
    }

    /// Adds a stretch.
    pub(super) fn add(&mut self, range: Range<u64>) {
        if range.is_empty() {
            return;
        }
        let touched = |span: &Range<u64>| span.end >= range.start && span.start <= range.end;
        let (mut start, mut end) = (range.start, range.end);
        self.0.retain(|span| {
            let touched = touched(span);
            if touched {
                start = start.min(span.start);
                end = end.max(span.end);
            }
            !touched
        });
        let at = self.0.partition_point(|span| span.start < start);
        self.0.insert(at, start..end);
    }

    /// Takes away all that is before `start`.
    pub(super) fn forget_before(&mut self, start: u64) {
        for span in &mut self.0 {
            span.start = span.start.max(start);
        }
        self.0.retain(|span| !span.is_empty());
    }

    /// Where the first stretch begins.
    pub(super) fn start(&self) -> Option<u64> {
        self.0.first().map(|span| span.start)
    }

    /// Where the last stretch ends.
    pub(super) fn end(&self) -> Option<u64> {
        self.0.last().map(|span| span.end)
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    fn ranges(spans: &Spans) -> Vec<Range<u64>> {
        spans.iter().cloned().collect()
    }

    #[test]
    fn stretches_that_touch_become_one() {
        let mut spans = Spans::default();
        for range in [10..20, 30..40, 0..0, 20..25, 26..30] {
            spans.add(range);
        }
        assert_eq!(ranges(&spans), [10..25, 26..40]);
        assert_eq!(spans.missing(0..50), [0..10, 25..26, 40..50]);
        assert_eq!(spans.missing(12..20), []);
        spans.add(0..50);
        assert_eq!((spans.len(), spans.start(), spans.end()), (1, Some(0), Some(50)));
        spans.forget_before(50);
        assert_eq!((spans.len(), spans.start(), spans.end()), (0, None, None));
    }

    #[test]
    fn what_was_not_written_by_it_is_refused() {
        for wrong in [vec![1..2, 4..4], vec![5..6, 1..2], vec![1..2, 2..3], vec![1..3, 2..4]] {
            assert_eq!(Spans::from_ranges(wrong.clone()), None, "{wrong:?}");
        }
        let ranges = vec![1..2, 3..4];
        assert_eq!(Spans::from_ranges(ranges.clone()).expect("well").0, ranges);
    }

    proptest! {
        #[test]
        fn spans_are_a_set_of_numbers(
            steps in proptest::collection::vec((0..60_u64, 0..20_u64, any::<bool>()), 0..30),
            (start, len) in (0..60_u64, 0..20_u64),
        ) {
            let (mut spans, mut model) = (Spans::default(), BTreeSet::new());
            for (start, len, adds) in steps {
                if adds {
                    spans.add(start..start + len);
                    model.extend(start..start + len);
                } else {
                    spans.forget_before(start);
                    model.retain(|number| *number >= start);
                }
                let found: BTreeSet<u64> = spans.iter().cloned().flatten().collect();
                prop_assert_eq!(&found, &model);
                prop_assert_eq!(Spans::from_ranges(ranges(&spans)), Some(spans.clone()));
            }
            let missing: Vec<u64> = spans.missing(start..start + len).into_iter().flatten().collect();
            let expected: Vec<u64> =
                (start..start + len).filter(|number| !model.contains(number)).collect();
            prop_assert_eq!(missing, expected);
        }
    }
}
