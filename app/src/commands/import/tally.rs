//! What was taken and what was not, for whoever reads it at the end.

use std::collections::BTreeMap;
use std::fmt;

use store::Taken;

/// Rows of one reason that are named on the way; of further ones only the number is told.
const NAMED: u64 = 10;

/// By table.
#[derive(Debug, Default)]
pub(super) struct Tally(Vec<(&'static str, Table)>);

#[derive(Debug, Default)]
struct Table {
    rows: i64,
    taken: u64,
    moved: u64,
    before: u64,
    skipped: BTreeMap<String, u64>,
    notes: BTreeMap<String, u64>,
}

impl Tally {
    /// A table's turn has come; it has so many rows.
    pub(super) fn begin(&mut self, table: &'static str, rows: i64) {
        self.of(table).rows = rows;
    }

    fn of(&mut self, table: &'static str) -> &mut Table {
        let at = self.0.iter().position(|(known, _)| *known == table).unwrap_or_else(|| {
            self.0.push((table, Table::default()));
            self.0.len() - 1
        });
        &mut self.0[at].1
    }

    /// How many rows of a table are done, and of how many.
    pub(super) fn done(&mut self, table: &'static str) -> (u64, u64) {
        let of = self.of(table);
        let done = of.taken + of.before + of.skipped.values().sum::<u64>();
        (done, of.rows.unsigned_abs().max(done))
    }

    /// What became of a row.
    pub(super) fn came(&mut self, table: &'static str, taken: Taken) {
        let of = self.of(table);
        match taken {
            Taken::Kept => of.taken += 1,
            Taken::As(_) => {
                of.taken += 1;
                of.moved += 1;
            }
            Taken::Before => of.before += 1,
            Taken::SameName(_) => *of.skipped.entry("has the name of a user that is here".to_owned()).or_default() += 1,
        }
    }

    /// What became of many.
    pub(super) fn many(&mut self, table: &'static str, taken: usize, before: usize) {
        let of = self.of(table);
        of.taken += taken as u64;
        of.before += before as u64;
    }

    /// Rows were left, for a reason; whether it is worth naming which.
    pub(super) fn skipped(&mut self, table: &'static str, reason: &str, rows: u64) -> bool {
        let of = self.of(table);
        of.rows = of.rows.max(i64::try_from(rows).unwrap_or(i64::MAX));
        let count = of.skipped.entry(reason.to_owned()).or_default();
        *count += rows;
        *count <= NAMED
    }

    /// A row was taken, but not as it was.
    pub(super) fn noted(&mut self, table: &'static str, note: &str) {
        *self.of(table).notes.entry(note.to_owned()).or_default() += 1;
    }

    /// How many rows were taken.
    pub(super) fn taken(&self) -> u64 {
        self.0.iter().map(|(_, table)| table.taken).sum()
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:16}{:>10}{:>10}{:>14}{:>10}", "TABLE", "ROWS", "TAKEN", "TAKEN BEFORE", "LEFT")?;
        for (name, table) in &self.0 {
            let left: u64 = table.skipped.values().sum();
            write!(f, "\n{name:16}{:>10}{:>10}{:>14}{left:>10}", table.rows, table.taken, table.before)?;
            if table.moved > 0 {
                write!(f, "\n    {} have another id here, because theirs was taken", table.moved)?;
            }
            for (reason, count) in table.skipped.iter().chain(&table.notes) {
                write!(f, "\n    {count}: {reason}")?;
            }
        }
        Ok(())
    }
}
