//! Results as CSV: a line for each run, with the figures of a [`Row`] under their names, units
//! included. Pure.

use netduel_loadgen::Subject;
use netduel_server::RelayPolicy;
use serde::Serialize;

use crate::{
    analysis::{repeats::Repeats, summary::Row},
    data::{results::Results, run_result::RunResult},
};

/// Declares a line of the file: the identity of the run, these figures of its row, and the
/// transport's settings.
macro_rules! csv_record {
    ($($figure:ident),* $(,)?) => {
        #[derive(Serialize)]
        struct Record {
            transport: Subject,
            relay: RelayPolicy,
            /// The congestion control in effect; empty if the transport has none or does not report
            /// it.
            congestion: Option<String>,
            nagle: bool,
            resumption: bool,
            tuned: bool,
            ack_packets: Option<u32>,
            newest_of_burst: bool,
            enet_ping_ms: Option<u32>,
            long_chain: bool,
            link: String,
            rate_hz: u32,
            in_flight: u32,
            payload_bytes: u32,
            pairs: u32,
            repeat: u32,
            arm: u8,
            repeats: usize,
            $($figure: Option<f64>,)*
            tls: Option<String>,
            max_packet_bytes: Option<u64>,
        }

        impl Record {
            /// Returns the line of one run. The figures of one run have no spread.
            fn from_run(run: &RunResult) -> Self {
                let row = Row::from_repeats(Repeats::new(&[run]));
                let (contender, group) = (run.key.contender, run.key.group.clone());
                Self {
                    transport: contender.transport,
                    relay: contender.relay,
                    congestion: row.congestion,
                    nagle: contender.nagle,
                    resumption: contender.resumption,
                    tuned: contender.tuned,
                    ack_packets: contender.ack_packets,
                    newest_of_burst: contender.newest_of_burst,
                    enet_ping_ms: contender.enet_ping_ms,
                    long_chain: contender.long_chain,
                    link: group.link,
                    rate_hz: group.rate_hz,
                    in_flight: group.in_flight,
                    payload_bytes: group.payload_bytes,
                    pairs: group.pairs,
                    repeat: run.key.repeat,
                    arm: run.key.arm,
                    repeats: row.repeats,
                    $($figure: row.$figure.map(|it| it.value),)*
                    tls: row.tls,
                    max_packet_bytes: row.max_packet_bytes,
                }
            }
        }
    };
}

csv_record! {
    one_way_p50_us, one_way_p90_us, one_way_p99_us, one_way_max_us, age_mean_us, age_p99_us, fresh_share,
    superseded_share, paired_p50_us, paired_p90_us, paired_p99_us, first_move_p50_us, first_move_p90_us,
    first_move_p99_us, resumed_share, connect_cpu_us, server_cpu_us, server_user_us, server_system_us,
    server_switches, server_resident_bytes, server_kernel_bytes, bytes_in, bytes_out, packets_in, packets_out,
    link_lost_share, lateness_p99_us,
}

/// Returns one line for each run, in the order in which they ran.
pub fn csv(results: &Results) -> String {
    let mut writer = ::csv::Writer::from_writer(Vec::new());
    for run in &results.runs {
        // Writing to memory does not fail, and every field is one cell.
        let _ = writer.serialize(Record::from_run(run));
    }
    String::from_utf8_lossy(&writer.into_inner().unwrap_or_default()).into_owned()
}
