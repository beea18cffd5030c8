//! Processor time and memory of a process, alone and with everything below it. proc(5)

use std::fs;

use serde_json::{Value, json};

/// A process that is watched.
#[derive(Clone, Copy, Debug)]
pub struct Process(pub u32);

/// What a process alone has, and what it has together with everything below it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Amount {
    /// The process itself.
    pub alone: f64,
    /// And its children, and theirs.
    pub with_children: f64,
}

impl Amount {
    /// How much more this is than before, divided by something, to two digits.
    #[must_use]
    pub fn since(self, before: Self, divided_by: f64) -> Value {
        let each = |now: f64, then: f64| ((now - then) / divided_by * 100.0).round() / 100.0;
        json!({"alone": each(self.alone, before.alone), "with_children": each(self.with_children, before.with_children)})
    }
}

/// Resident and proportional memory in KiB.
#[derive(Clone, Copy, Debug, Default)]
pub struct Memory {
    /// Rss
    pub resident: Amount,
    /// Pss
    pub proportional: Amount,
}

impl Process {
    /// Processor microseconds so far. (`utime` and `stime` are in hundredths of a second on Linux.)
    #[must_use]
    pub fn processor_micros(self) -> Amount {
        self.sum(|pid| stat(pid).map_or(0.0, |(_, ticks)| ticks * 10_000.0))
    }

    /// Memory now.
    #[must_use]
    pub fn memory(self) -> Memory {
        let of = |name: &'static str| self.sum(move |pid| field(pid, "smaps_rollup", name));
        Memory { resident: of("Rss:"), proportional: of("Pss:") }
    }

    /// Forgets the highest resident memory so far (`clear_refs`, 5).
    ///
    /// # Errors
    /// Not our process.
    pub fn forget_peak(self) -> std::io::Result<()> {
        fs::write(format!("/proc/{}/clear_refs", self.0), "5")
    }

    /// The highest resident memory since then in KiB, of the process alone.
    #[must_use]
    pub fn peak(self) -> f64 {
        field(self.0, "status", "VmHWM:")
    }

    fn sum(self, of: impl Fn(u32) -> f64) -> Amount {
        Amount { alone: of(self.0), with_children: self.family().into_iter().map(of).sum() }
    }

    /// The process and everything below it.
    fn family(self) -> Vec<u32> {
        let parents: Vec<(u32, u32)> = fs::read_dir("/proc")
            .into_iter()
            .flatten()
            .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok())
            .filter_map(|pid| Some((pid, stat(pid)?.0)))
            .collect();
        let (mut family, mut next) = (vec![self.0], 0);
        while let Some(&parent) = family.get(next) {
            family.extend(parents.iter().filter(|(_, above)| *above == parent).map(|(pid, _)| *pid));
            next += 1;
        }
        family
    }
}

/// (parent, processor time in ticks)
fn stat(pid: u32) -> Option<(u32, f64)> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = text.rsplit_once(") ")?.1.split(' ').collect();
    let ticks = |index: usize| fields.get(index).and_then(|field| field.parse::<f64>().ok()).unwrap_or(0.0);
    Some((fields.get(1)?.parse().ok()?, ticks(11) + ticks(12)))
}

/// A number of a file below /proc/PID, by the name before it; 0 when it is not there.
fn field(pid: u32, file: &str, name: &str) -> f64 {
    let text = fs::read_to_string(format!("/proc/{pid}/{file}")).unwrap_or_default();
    let line = text.lines().find_map(|line| line.strip_prefix(name));
    line.and_then(|rest| rest.split_whitespace().next()?.parse().ok()).unwrap_or(0.0)
}
