//! The fault table: each fault of `docs/faults.md` that arrives over a connection × each kind of
//! transport that it applies to.
//!
//! Each trial has a server of its own on real sockets, and a match between two witnesses. The match
//! continues during the fault and ends with every control message in order and both final positions
//! delivered. The trial injects the fault, checks the answer to the attacker, and waits until the
//! server has counted the fault.
//!
//! A new kind in `TransportKind::ALL` is tested without a change here, except for its raw bytes
//! (`raw.rs`).

mod advertised;
mod bytes;
mod enet;
mod floods;
mod host;
mod paths;
mod program;
mod raw;
mod state;
mod strangers;
mod witness;
mod world;

use std::{future::Future, pin::Pin, time::Duration};

use libtest_mimic::{Arguments, Failed, Trial};
use netduel_server::Config;
use netduel_transport::{Options, Socket, TransportKind};
use witness::Witness;
pub(crate) use world::{PATIENCE, World};

/// The grace of a lost player's seat. It is short, since no player resumes a seat in these trials;
/// `resume.rs` tests that.
const SEAT_KEPT: Duration = Duration::from_millis(100);
/// The number of concurrent trials. Each has its own server, and most of them mostly wait for
/// deadlines.
const TRIALS_AT_ONCE: usize = 8;

/// One row of the table.
struct Fault {
    /// The fault's number in `docs/faults.md`.
    number: u8,
    name: &'static str,
    applies: fn(TransportKind) -> bool,
    settings: fn(&mut Config, &mut Options),
    inject: for<'w> fn(&'w World) -> Pin<Box<dyn Future<Output = ()> + 'w>>,
}

macro_rules! faults {
    ($($number:literal $file:ident::$name:ident on $applies:ident with $settings:ident;)*) => {
        const FAULTS: &[Fault] = &[$(Fault {
            number: $number,
            name: stringify!($name),
            applies: $applies,
            settings: $settings,
            inject: |world| Box::pin($file::$name(world)),
        }),*];
    };
}

faults! {
    1 bytes::a_length_over_the_limit on every_kind with defaults;
    2 bytes::a_prefix_and_then_silence on streams with short_deadlines;
    3 bytes::every_truncation_and_bit_flip on every_kind with defaults;
    4 bytes::trailing_bytes on every_kind with defaults;
    5 bytes::another_version_or_protocol on every_kind with defaults;
    6 bytes::values_without_sense on every_kind with defaults;
    7 bytes::a_million_empty_frames on every_kind with defaults;
    8 state::a_move_where_none_may_be on every_kind with defaults;
    9 state::a_second_hello_or_join on every_kind with defaults;
    11 state::a_cut_at_every_step on every_kind with short_silence;
    12 strangers::another_protocol_and_garbage on every_kind with short_deadlines;
    13 strangers::a_byte_at_a_time on streams with short_deadlines;
    14 floods::a_reader_that_stops on every_kind with any_rate;
    15 paths::a_half_open_client on every_kind with short_silence;
    16 paths::loss_duplicates_reordering_and_darkness on datagrams with defaults;
    16 paths::a_new_address on datagrams with short_silence;
    17 strangers::handshakes_of_forged_addresses on datagrams with short_handshakes;
    17 enet::a_blind_handshake on enet_alone with defaults;
    18 strangers::a_replayed_retry_token on quic with short_handshakes;
    19 floods::streams_opened_and_reset on quic with few_packets;
    19 floods::frames_with_gaps on quic with short_silence;
    19 floods::packets_without_a_message on datagrams with few_packets;
    19 floods::records_without_a_message on tls with few_packets;
    19 enet::fragments_that_overlap on enet_alone with defaults;
    19 enet::updates_that_wait on enet_alone with few_packets;
    19 enet::pings_by_the_dozen on enet_alone with few_packets;
    20 strangers::clients_that_do_not_trust_us on encrypted with defaults;
    25 host::a_players_clock_that_jumps on every_kind with defaults;
    25 host::a_host_that_slept on every_kind with defaults;
    30 advertised::the_most_of_everything on every_kind with defaults;
}

fn every_kind(_: TransportKind) -> bool {
    true
}

fn encrypted(kind: TransportKind) -> bool {
    kind.capabilities().encrypted
}

fn tls(kind: TransportKind) -> bool {
    kind == TransportKind::Tls
}

fn quic(kind: TransportKind) -> bool {
    kind.is_quic()
}

fn enet_alone(kind: TransportKind) -> bool {
    kind == TransportKind::Enet
}

/// Whether the kind asks for a proof of the client's address in a handshake of its own.
fn cookies(kind: TransportKind) -> bool {
    matches!(kind, TransportKind::Enet | TransportKind::Udp)
}

/// Whether the kind uses UDP sockets, where the test can stand between both sides.
fn datagrams(kind: TransportKind) -> bool {
    kind.socket() == Socket::Udp
}

/// Whether the kind has a byte stream of frames that a test can write by hand.
fn streams(kind: TransportKind) -> bool {
    kind != TransportKind::Enet
}

fn defaults(_: &mut Config, _: &mut Options) {}

fn short_deadlines(_: &mut Config, options: &mut Options) {
    options.read_deadline = Duration::from_millis(300);
    options.handshake_timeout = Duration::from_millis(800);
}

fn short_silence(_: &mut Config, options: &mut Options) {
    options.idle_timeout = Duration::from_secs(2);
    options.keep_alive = Duration::from_millis(250);
}

/// Makes the server's handshakes end long before the forgers' do.
fn short_handshakes(_: &mut Config, options: &mut Options) {
    options.handshake_timeout = Duration::from_secs(2);
}

/// Sets a limit that is three times the witnesses' rate.
fn few_packets(_: &mut Config, options: &mut Options) {
    options.packets_per_s_max = 2_000;
}

/// Removes the limits on rates. The deaf client's opponent says nothing either, for as long as a
/// busy machine takes.
fn any_rate(config: &mut Config, options: &mut Options) {
    options.idle_timeout = PATIENCE * 2;
    config.messages_per_s_max = u32::MAX;
    config.capacity_messages_per_s = u32::MAX;
    config.bytes_per_s_max = u32::MAX;
}

fn main() {
    let mut arguments = Arguments::from_args();
    arguments.test_threads.get_or_insert(TRIALS_AT_ONCE);
    let trials = FAULTS.iter().flat_map(|fault| {
        let kinds = TransportKind::ALL.into_iter().filter(|kind| (fault.applies)(*kind));
        kinds.map(move |kind| trial(fault, kind))
    });
    libtest_mimic::run(&arguments, trials.collect()).exit();
}

fn trial(fault: &'static Fault, kind: TransportKind) -> Trial {
    Trial::test(format!("{kind}::{:02}_{}", fault.number, fault.name), move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        let played = async {
            let (mut config, mut options) = (Config::default(), Options::default());
            config.resume_grace = SEAT_KEPT;
            // The attackers of a trial share one address. `admission.rs` tests this limit.
            config.connections_per_address_per_s = u32::MAX;
            // They leave their matches at once, too. `joins.rs` tests this limit.
            config.early_leave = Duration::ZERO;
            (fault.settings)(&mut config, &mut options);
            let world = World::start(kind, config, options);
            let witness = Witness::start(&world).await;
            (fault.inject)(&world).await;
            witness.finish().await;
            let counters = world.stop().await;
            assert_eq!(counters.panics, 0);
            assert_eq!(counters.matches_started, counters.matches_ended);
        };
        runtime
            .block_on(async { tokio::time::timeout(PATIENCE * 2, played).await })
            .map_err(|_| Failed::from("the trial hangs"))
    })
}
