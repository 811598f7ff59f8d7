//! A row: our figure, a peer's, and how many times better ours is.

use std::fmt;

use serde_json::{Value, json};

use super::plan::Figure;

/// One line of a suite.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Row {
    suite: &'static str,
    pub(super) name: &'static str,
    pub(super) ours: f64,
    pub(super) peer: Option<(&'static str, f64)>,
    pub(super) unit: &'static str,
    less_is_better: bool,
    /// Over 1 when ours is better.
    pub(super) ratio: Option<f64>,
    /// Of the ratio, or of ours in a row without a peer.
    pub(super) wanted: Option<f64>,
    /// Bytes that were moved.
    volume: Option<u64>,
}

/// The rows of one figure from what was measured in each round: one for each peer that was, and
/// one for ours alone where there is none or something is wanted of it.
pub(super) fn rows(
    suite: &'static str,
    figure: &'static Figure,
    volume: Option<u64>,
    ours: Vec<f64>,
    theirs: Vec<Vec<f64>>,
) -> Vec<Row> {
    let (unit, divisor) = figure.unit.shown();
    let alone = Row {
        suite,
        name: figure.name,
        ours: median(ours) / divisor,
        peer: None,
        unit,
        less_is_better: figure.unit.less_is_better(),
        ratio: None,
        wanted: figure.wanted,
        volume,
    };
    let measured: Vec<_> =
        figure.peers.iter().zip(theirs).filter(|(_, values)| !values.is_empty()).collect();
    let stands_alone = measured.is_empty() || figure.wanted.is_some();
    let beside = measured.into_iter().map(|(peer, values)| {
        let value = median(values) / divisor;
        let ratio = if alone.less_is_better { value / alone.ours } else { alone.ours / value };
        let peer_row = Some((peer.name, value));
        Row { peer: peer_row, ratio: Some(ratio), wanted: peer.wanted, ..alone.clone() }
    });
    stands_alone.then(|| alone.clone()).into_iter().chain(beside).collect()
}

/// The middle value; of an even number the upper middle one.
fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}

impl Row {
    /// The line of `--json`.
    pub(super) fn to_json(&self) -> Value {
        let mut object = json!({
            "suite": self.suite,
            "name": self.name,
            "ours": rounded(self.ours),
            "peer": self.peer.map(|(name, _)| name),
            "peer_value": self.peer.map(|(_, value)| rounded(value)),
            "unit": self.unit,
            "ratio": self.ratio.map(rounded),
        });
        if self.wanted.is_none() {
            object["info"] = true.into();
        }
        if let Some(volume) = self.volume {
            object["volume"] = volume.into();
        }
        object
    }

    /// Whether the ratio, or ours where no peer is, is what is wanted; none where nothing is.
    pub(super) fn reached(&self) -> Option<bool> {
        let wanted = self.wanted?;
        Some(match self.ratio {
            Some(ratio) => ratio >= wanted,
            None if self.less_is_better => self.ours <= wanted,
            None => self.ours >= wanted,
        })
    }
}

impl fmt::Display for Row {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:<30} {:>12.1} {:<5}", self.name, self.ours, self.unit)?;
        if let (Some((peer, value)), Some(ratio)) = (self.peer, self.ratio) {
            write!(f, " {peer:<18} {value:>12.1}   {ratio:>6.2}")?;
        }
        match (self.wanted, self.reached()) {
            (Some(wanted), Some(true)) => write!(f, "   wanted {wanted}"),
            (Some(wanted), _) => write!(f, "   wanted {wanted}: falls short"),
            _ => Ok(()),
        }
    }
}

/// Four digits behind the point: more is noise.
fn rounded(value: f64) -> f64 {
    (value * 1e4).round() / 1e4
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::plan;

    fn figure(suite: &str, name: &str) -> &'static Figure {
        let suite = plan::find(suite).unwrap();
        suite.figures.iter().find(|figure| figure.name == name).unwrap()
    }

    #[test]
    fn a_row_is_one_json_object() {
        let measured = vec![vec![1000.0, 2000.0, 900.0], vec![400.0, 500.0, 450.0]];
        let rows =
            rows("handshake", figure("handshake", "XX"), None, vec![9.0, 1100.0, 3e9], measured);
        assert_eq!(
            rows[0].to_json(),
            json!({"suite": "handshake", "name": "XX", "ours": 1100.0, "peer": "snow",
                   "peer_value": 1000.0, "unit": "1/s", "ratio": 1.1})
        );
        assert_eq!(rows[1].reached(), Some(true));
        assert!(rows[1].to_string().ends_with("2.44   wanted 1.6"), "{}", rows[1]);
    }

    #[test]
    fn a_row_without_a_wanted_figure_informs() {
        let tcp = figure("record", "tcp 4GiB");
        let measured = vec![vec![4e9], vec![1e9], vec![1e9]];
        let rows = rows("record", tcp, Some(1 << 28), vec![2e9], measured);
        let plain = rows[0].to_json();
        assert_eq!(plain["info"], true);
        assert_eq!(plain["volume"], 1 << 28);
        assert_eq!(plain["ours"], 2000.0);
        assert_eq!(rows[1].to_json().get("info"), None);
        assert_eq!(rows[2].reached(), Some(false));
    }

    #[test]
    fn a_row_without_a_peer_has_no_ratio() {
        let memory = figure("growth", "memory per idle channel");
        let rows = rows("growth", memory, None, vec![70_000.0], vec![]);
        let row = rows[0].to_json();
        assert_eq!(
            (&row["peer"], &row["ratio"], &row["info"]),
            (&Value::Null, &Value::Null, &true.into())
        );
    }

    #[test]
    fn a_peer_that_is_not_here_has_no_row() {
        let file = figure("envelope", "seal 4GiB file");
        let measured = vec![vec![4e8], vec![], vec![1e9], vec![1e9], vec![]];
        let rows = rows("envelope", file, Some(4 << 30), vec![2e9], measured);
        let names: Vec<_> = rows.iter().filter_map(|row| row.peer.map(|(name, _)| name)).collect();
        assert_eq!(names, ["age", "cryptography", "aws-lc"]);
        let nobody = super::rows("envelope", file, None, vec![2e9], vec![vec![]; 5]);
        assert_eq!((nobody.len(), nobody[0].peer), (1, None));
    }

    #[test]
    fn a_figure_without_a_peer_can_be_wanted() {
        let durable = figure("ratchet", "durable");
        for (measured, reached) in [(2000.0, true), (1999.0, false)] {
            let rows = rows("ratchet", durable, None, vec![measured], vec![]);
            assert_eq!(rows[0].reached(), Some(reached));
            assert_eq!(rows[0].to_json().get("info"), None);
        }
    }

    #[test]
    fn less_can_be_wanted() {
        let idle = figure("relay", "idle");
        for (measured, reached) in [(30_000.0, true), (30_001.0, false)] {
            let rows = rows("relay", idle, None, vec![measured], vec![]);
            assert_eq!(rows[0].reached(), Some(reached));
        }
    }

    #[test]
    fn what_is_wanted_of_ours_stands_in_a_row_before_those_of_the_peers() {
        let late = figure("relay", "accept, p99 at 20000/s");
        let rows = rows("relay", late, None, vec![60.0], vec![vec![30.0], vec![120.0]]);
        assert_eq!(rows.len(), 3);
        assert_eq!((rows[0].peer, rows[0].reached()), (None, Some(false)));
        assert_eq!((rows[1].peer, rows[1].ratio), (Some(("axum", 30.0)), Some(0.5)));
        assert_eq!((rows[2].ratio, rows[2].reached()), (Some(2.0), None));
    }
}
