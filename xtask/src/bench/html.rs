//! The page of `--html`: a plot for each figure, in one file that needs no network.

use std::fmt::Write;

use super::row::Row;

const STYLE: &str = "body{font:16px/1.5 system-ui,sans-serif;max-width:46em;margin:2em auto;\
padding:0 1em;color:#222;background:#fff}h1{font-size:1.4em}h2{font-size:1.05em;margin:1.6em 0 .2em}\
svg{width:100%;height:auto}table{border-collapse:collapse;width:100%;margin-top:2em}\
td,th{text-align:right;padding:.2em .6em;border-bottom:1px solid #ddd}\
td:first-child,th:first-child,td:nth-child(3),th:nth-child(3){text-align:left}.short{color:#a00}";

/// Height of one bar and the gap below it.
const BAR: usize = 28;
/// Where bars begin, and how long the longest is.
const LEFT: f64 = 150.0;
const LENGTH: f64 = 430.0;

/// The page of one suite.
pub(super) fn page(suite: &str, rows: &[Row]) -> String {
    let mut plots = String::new();
    for figure in rows.chunk_by(|a, b| a.name == b.name) {
        plots += &plot(figure);
    }
    let table: String = rows.iter().map(table_row).collect();
    format!(
        "<!DOCTYPE html>\n<html lang=\"en\"><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width\">\
         <title>Sealwire: {suite}</title><style>{STYLE}</style>\n\
         <h1>Sealwire: suite {suite}</h1>\n{plots}<table><tr><th>row<th>ours<th>peer<th>theirs\
         <th>unit<th>ratio<th>wanted</tr>\n{table}</table></html>\n"
    )
}

/// Bars for ours and each peer.
fn plot(rows: &[Row]) -> String {
    let Some(first) = rows.first() else { return String::new() };
    let ours = std::iter::once(("ours", first.ours));
    let bars: Vec<_> = ours.chain(rows.iter().filter_map(|row| row.peer)).collect();
    let longest = bars.iter().map(|(_, value)| *value).fold(f64::MIN_POSITIVE, f64::max);
    let height = bars.len() * BAR;
    let title = format!("{}, {}", escaped(first.name), first.unit);
    let mut svg = format!(
        "<h2>{title}</h2><svg viewBox=\"0 0 700 {height}\" role=\"img\" aria-label=\"{title}\">"
    );
    for (index, (label, value)) in bars.iter().enumerate() {
        let (top, text) = (index * BAR, index * BAR + 17);
        let width = value / longest * LENGTH;
        let colour = if index == 0 { "#1b6ca8" } else { "#b8c4cc" };
        // Writing to a string does not fail.
        let _ = write!(
            svg,
            "<text x=\"{}\" y=\"{text}\" text-anchor=\"end\" font-size=\"14\">{}</text>\
             <rect x=\"{LEFT}\" y=\"{top}\" width=\"{width:.1}\" height=\"22\" fill=\"{colour}\"/>\
             <text x=\"{:.1}\" y=\"{text}\" font-size=\"14\">{value:.0}</text>",
            LEFT - 8.0,
            escaped(label),
            LEFT + width + 8.0,
        );
    }
    svg + "</svg>\n"
}

fn table_row(row: &Row) -> String {
    let class = if row.reached() == Some(false) { " class=\"short\"" } else { "" };
    let number = |value: Option<f64>, digits: usize| {
        value.map(|value| format!("{value:.digits$}")).unwrap_or_default()
    };
    format!(
        "<tr{class}><td>{}<td>{:.1}<td>{}<td>{}<td>{}<td>{}<td>{}</tr>\n",
        escaped(row.name),
        row.ours,
        escaped(row.peer.map_or("", |(name, _)| name)),
        number(row.peer.map(|(_, value)| value), 1),
        row.unit,
        number(row.ratio, 2),
        number(row.wanted, 1),
    )
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::{plan, row};

    #[test]
    fn a_page_has_a_plot_for_each_figure_and_asks_for_nothing() {
        let figures = plan::find("handshake").unwrap().figures;
        let rows: Vec<Row> = figures
            .iter()
            .flat_map(|figure| {
                row::rows("handshake", figure, None, vec![2.0], vec![vec![1.0], vec![4.0]])
            })
            .collect();
        let page = page("handshake", &rows);
        assert_eq!(page.matches("<svg").count(), figures.len());
        assert_eq!(page.matches("<rect").count(), 3 * figures.len());
        for outside in ["http", "src=", "href=", "@import", "url("] {
            assert!(!page.contains(outside), "{outside}");
        }
    }

    #[test]
    fn markup_in_a_name_is_text() {
        assert_eq!(escaped("<a \"b\" & c"), "&lt;a &quot;b&quot; &amp; c");
    }
}
