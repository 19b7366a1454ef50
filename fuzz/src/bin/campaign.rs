//! `campaign TARGET N [SEED] [THREADS]`: run seeded inputs, save those that break a promise.
//! `campaign TARGET FILE...`: run these inputs, and stop at the first that breaks one.
//!
//! Prints the rate and the counts of outcomes. Exits with 1 if there was a finding. An input that takes
//! more than 20 seconds is saved, and ends the program.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind, set_hook};
use std::process::exit;
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};
use std::time::{Duration, Instant, SystemTime};

use transferability_fuzz::campaign::Campaign;
use transferability_fuzz::{Outcome, Target};

const LIMIT: Duration = Duration::from_secs(20);

/// What one thread is at.
#[derive(Default)]
struct Place {
    /// Milliseconds since the start, plus one; 0 between inputs.
    since: AtomicU64,
    input: Mutex<Vec<u8>>,
}

thread_local! {
    static LAST_PANIC: RefCell<String> = const { RefCell::new(String::new()) };
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    let usage = || -> ! {
        eprintln!(
            "usage: campaign state|file|metrics|rows N [SEED] [THREADS], or files instead of N"
        );
        exit(2)
    };
    let Some(target) = Target::ALL
        .into_iter()
        .find(|target| Some(target.name()) == arguments.first().map(String::as_str))
    else {
        usage()
    };
    if arguments.get(1).is_some_and(|argument| argument.parse::<u64>().is_err()) {
        for path in &arguments[1..] {
            let input = std::fs::read(path).unwrap_or_else(|error| {
                eprintln!("{path}: {error}");
                exit(2)
            });
            println!("{path}");
            println!("  {:?}", target.run(&input));
        }
        return;
    }
    let number = |i: usize, otherwise: u64| match arguments.get(i) {
        None => otherwise,
        Some(text) => text.parse().unwrap_or_else(|_| usage()),
    };
    let clock = SystemTime::UNIX_EPOCH.elapsed().map_or(0, |time| time.as_secs());
    let (n, seed, n_threads) = (number(1, 100_000), number(2, clock), number(3, 1));
    println!("{}: {n} inputs, seed {seed}, {n_threads} threads", target.name());
    set_hook(Box::new(|panic| {
        // One line: where, and what.
        let place = panic.location().map(ToString::to_string).unwrap_or_default();
        let said = panic.payload().downcast_ref::<String>().map(String::as_str);
        let said = said.or_else(|| panic.payload().downcast_ref::<&str>().copied());
        LAST_PANIC.set(format!("{place}: {}", said.unwrap_or("no message")));
    }));
    let start = Instant::now();
    let counts = [const { AtomicUsize::new(0) }; 2];
    let findings: Mutex<BTreeMap<String, usize>> = Mutex::default();
    let places: Vec<Place> = (0..n_threads).map(|_| Place::default()).collect();
    let finished = AtomicUsize::new(0);
    std::thread::scope(|scope| {
        for (thread, place) in (0_u64..).zip(&places) {
            let (counts, findings, finished) = (&counts, &findings, &finished);
            scope.spawn(move || {
                let mut campaign = Campaign::new(target, seed.wrapping_add(thread << 40));
                for _ in 0..n / n_threads {
                    let input = campaign.draw();
                    place.input.lock().expect("not poisoned").clone_from(&input);
                    place.since.store(milliseconds(start) + 1, Relaxed);
                    let result = catch_unwind(AssertUnwindSafe(|| target.run(&input)));
                    place.since.store(0, Relaxed);
                    if let Ok(outcome) = result {
                        counts[usize::from(outcome == Outcome::Used)].fetch_add(1, Relaxed);
                        if outcome == Outcome::Used {
                            campaign.keep(input);
                        }
                    } else {
                        report(target, &input, findings);
                    }
                }
                finished.fetch_add(1, Relaxed);
            });
        }
        let mut next = Instant::now() + Duration::from_secs(60);
        while finished.load(Relaxed) < places.len() {
            std::thread::sleep(Duration::from_millis(20));
            for place in &places {
                let since = place.since.load(Relaxed);
                if since > 0 && u128::from(milliseconds(start) + 1 - since) > LIMIT.as_millis() {
                    let input = place.input.lock().expect("not poisoned");
                    println!("no result after {LIMIT:?}: {}", save(target, &input));
                    exit(1);
                }
            }
            if Instant::now() > next {
                next += Duration::from_secs(60);
                show(start, &counts, &findings);
            }
        }
    });
    show(start, &counts, &findings);
    exit(i32::from(!findings.lock().expect("not poisoned").is_empty()));
}

fn milliseconds(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX)
}

fn show(start: Instant, counts: &[AtomicUsize; 2], findings: &Mutex<BTreeMap<String, usize>>) {
    let [refused, used] = [0, 1].map(|i| counts[i].load(Relaxed));
    let findings = findings.lock().expect("not poisoned");
    let bad: usize = findings.values().sum();
    let seconds = start.elapsed().as_secs_f64();
    let rate = (refused + used + bad) as f64 / seconds;
    println!(
        "{refused} refused, {used} used, {bad} findings in {seconds:.0} s, {rate:.0} a second"
    );
}

/// Prints a finding the first times, and saves its input.
fn report(target: Target, input: &[u8], findings: &Mutex<BTreeMap<String, usize>>) {
    let said = LAST_PANIC.take();
    // The same place with other numbers is the same finding.
    let key: String = said.chars().filter(|c| !c.is_ascii_digit()).take(100).collect();
    let mut findings = findings.lock().expect("not poisoned");
    let count = findings.entry(key).or_default();
    *count += 1;
    if *count <= 3 {
        let said: String = said.chars().take(400).collect();
        println!("FINDING {said}\n    {}", save(target, input));
    }
}

fn save(target: Target, input: &[u8]) -> String {
    let hash = input.iter().fold(0xCBF2_9CE4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01B3)
    });
    let folder =
        std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("artifacts").join(target.name());
    let path = folder.join(format!("{hash:016x}"));
    let saved = std::fs::create_dir_all(&folder).and_then(|()| std::fs::write(&path, input));
    saved.map_or_else(|error| error.to_string(), |()| path.display().to_string())
}
