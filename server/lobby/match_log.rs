//! The log lines of matches: one for each start and end while they are few, and a summary for each
//! second otherwise. Pure.

use std::time::Duration;

use tokio::time::Instant;

/// The most lines of matches a second: what a person can follow. Players who join and leave without
/// a pause would write megabytes a second.
const LINES_PER_S_MAX: u32 = 20;
/// The period of summaries.
pub(crate) const SUMMARY_PERIOD: Duration = Duration::from_secs(1);

/// An event of a match that the log mentions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum MatchEvent {
    Started,
    Ended,
    /// A player lost its connection, or came back.
    Seat,
}

/// Decides which events of matches are logged one by one, and counts the others.
#[derive(Debug, Default)]
pub(crate) struct MatchLog {
    /// The second that counts now, and the lines in it.
    second: Option<(Instant, u32)>,
    left_out: [u64; 3],
}

/// The place of an event in the log.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// A line of its own.
    Line,
    /// The summary that is due at this time, and was not planned before.
    NewSummary(Instant),
    /// The summary that is due already.
    Summary,
}

impl MatchLog {
    /// Returns the place of an event.
    pub(crate) fn place(&mut self, event: MatchEvent, now: Instant) -> Place {
        let planned = self.left_out != [0; 3];
        let (begin, lines) = match self.second {
            Some((begin, lines)) if planned || now < begin + SUMMARY_PERIOD => (begin, lines),
            _ => (now, 0),
        };
        if lines < LINES_PER_S_MAX {
            self.second = Some((begin, lines + 1));
            return Place::Line;
        }
        self.left_out[event as usize] += 1;
        if planned { Place::Summary } else { Place::NewSummary(now + SUMMARY_PERIOD) }
    }

    /// Returns the summary of the events without a line, and begins a new second.
    pub(crate) fn summary(&mut self) -> Option<String> {
        let [started, ended, seats] = std::mem::take(&mut self.left_out);
        self.second = None;
        (started + ended + seats > 0).then(|| {
            format!(
                "in the last second {started} more matches started, {ended} ended, \
                 and {seats} players lost their connection or came back"
            )
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_events_get_lines() {
        let (mut log, begin) = (MatchLog::default(), Instant::now());
        for number in 0..100 {
            let now = begin + SUMMARY_PERIOD * number;
            assert_eq!(log.place(MatchEvent::Started, now), Place::Line);
            assert_eq!(log.place(MatchEvent::Ended, now), Place::Line);
        }
        assert_eq!(log.summary(), None);
    }

    #[test]
    fn many_events_are_summed_up() {
        let (mut log, now) = (MatchLog::default(), Instant::now());
        let places: Vec<_> = (0..1_000).map(|_| log.place(MatchEvent::Started, now)).collect();
        let (lines, others) = places.split_at(LINES_PER_S_MAX as usize);
        assert!(lines.iter().all(|place| *place == Place::Line));
        assert_eq!(others[0], Place::NewSummary(now + SUMMARY_PERIOD));
        assert!(others[1..].iter().all(|place| *place == Place::Summary));
        assert_eq!(log.place(MatchEvent::Seat, now + 2 * SUMMARY_PERIOD), Place::Summary, "it is late");
        let said = log.summary().expect("980 events");
        assert!(said.contains("980 more matches started, 0 ended, and 1 players"), "{said}");
        assert_eq!(log.place(MatchEvent::Started, now), Place::Line);
        assert_eq!(log.summary(), None);
    }
}
