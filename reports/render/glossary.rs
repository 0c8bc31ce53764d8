//! The words of a report with their meanings, in the order in which a reader meets them.
//! `docs/reading-a-report.md` explains each of them with an example.

/// The page of the repository that explains a report.
pub(crate) const PAGE: &str = "docs/reading-a-report.md";

/// A word and its meaning.
pub(crate) type Entry = (&'static str, &'static str);

/// The words of the answer and of the findings.
pub(crate) const WORDS: &[Entry] = &[
    (
        "age",
        "The time since the newest known position of the opponent was sent. It is how far behind \
        the picture on the screen is.",
    ),
    ("p50, p99", "50 or 99 % of the values are smaller. Of an age, the share is one of time."),
    (
        "bad period",
        "A stretch of time in which an emulated link loses packets, and some links delay them, too. \
        All transports meet the same ones.",
    ),
    ("freeze", "A pause in which no newer position came for more than three send periods."),
    (
        "fresh move",
        "A move that arrived as news: newer than all before it, and not replaced within the \
        same read.",
    ),
    (
        "loopback",
        "The network inside one machine. It neither delays nor loses, so it shows the cost of \
        the software alone.",
    ),
    (
        "better, worse",
        "The difference is larger than what matters, with 95 % confidence for all \
        comparisons together.",
    ),
    ("same", "The difference is smaller than what a player notices, with the same confidence."),
    ("cannot tell", "The run shows neither. It is no tie: a longer run may find a difference."),
    (
        "strong, some, none",
        "How sure the advice is. Strong: it holds for all comparisons together, and \
        the link was bad often enough. Some: it holds for the one comparison alone, or a self-check \
        failed. None: the run does not decide.",
    ),
    (
        "encrypted",
        "Nobody on the way can read or change the moves. On the internet, choose one that \
        encrypts.",
    ),
    (
        "tuned",
        "TCP with its timers set for small updates: a short minimum for resending, no delayed \
        acknowledgements, linear timeouts.",
    ),
    ("reference", "The contender that all others are compared with: stock TCP, if it ran."),
    ("A/A control", "The reference once more. Its distance from the reference is noise."),
    (
        "round",
        "One short window of every transport, played in turns on an otherwise idle machine. The \
        cost is the median of the rounds.",
    ),
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_explains_every_word() {
        let page = include_str!("../../docs/reading-a-report.md").to_lowercase();
        for word in WORDS.iter().flat_map(|(words, _)| words.split(", ")) {
            assert!(page.contains(&word.to_lowercase()), "{word}");
        }
    }
}
