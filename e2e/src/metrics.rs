//! Metrics as Prometheus reads them: text, a series a line.

use std::collections::BTreeSet;

/// The sum of a metric's series whose labels have all of these texts (`verb="PATCH"`).
pub fn sum(text: &str, name: &str, labels: &[&str]) -> f64 {
    let values = text.lines().filter_map(|line| {
        let rest = line.strip_prefix(name)?;
        let (found, value) = rest.rsplit_once(' ')?;
        let is_it = found.is_empty() || found.starts_with('{');
        (is_it && labels.iter().all(|label| found.contains(label))).then(|| value.parse::<f64>().ok())?
    });
    values.sum()
}

/// The names of Moongate's metrics in any text, as series have them (`_total`, `_bucket`).
pub fn names(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("moongate_")).collect()
}

#[cfg(test)]
mod tests {
    #[test]
    fn series_of_one_metric_are_summed_by_their_labels() {
        let text = "# TYPE a counter\na{x=\"1\",y=\"2\"} 3\na{x=\"1\",y=\"3\"} 4.5\nab{x=\"1\"} 100\nb 7\n";
        assert_eq!(super::sum(text, "a", &["x=\"1\""]), 7.5);
        assert_eq!(super::sum(text, "a", &["x=\"1\"", "y=\"3\""]), 4.5);
        assert_eq!((super::sum(text, "b", &[]), super::sum(text, "c", &[])), (7.0, 0.0));
    }
}
