//! One batch, whatever is in it: what cannot be stored is found by halving, and put aside.

use std::sync::Arc;

use store::{ApplyError, IngestRecord};

/// A part of a batch: up to which position it moves the offset, and its records.
type Part = (i64, Arc<[IngestRecord]>);

/// Applies a batch that ends at `to` with `apply(expected, next, records)`, in as many parts as it takes. `position` is
/// where the offset stands, and moves with each part that is stored.
///
/// # Errors
/// Those of `apply` that are not about a record; what was stored by then stays stored.
pub(crate) async fn apply_parts<F: Future<Output = Result<(), ApplyError>> + Send>(
    position: &mut i64,
    (to, records): Part,
    mut apply: impl FnMut(i64, i64, Arc<[IngestRecord]>) -> F + Send,
) -> Result<(), ApplyError> {
    let mut parts = vec![(to, records)];
    while let Some((to, records)) = parts.pop() {
        match apply(*position, to, Arc::clone(&records)).await {
            Ok(()) => *position = to,
            Err(ApplyError::Poison(cause)) => match records.as_ref() {
                // Nothing but the offset to move, and that was refused as data: it would be refused for ever.
                [] => return Err(ApplyError::Poison(cause)),
                [record] => {
                    let event_id = event_id(record);
                    tracing::warn!(seq = record.seq(), event_id, %cause, "a record cannot be stored; it goes to the dead letters");
                    let Some(dead) = dead(record, &cause.to_string()) else { return Err(ApplyError::Poison(cause)) };
                    parts.push((to, Arc::from([dead])));
                }
                _ => {
                    let (first, second) = records.split_at(records.len() / 2);
                    parts.push((to, Arc::from(second)));
                    parts.push((first[first.len() - 1].seq(), Arc::from(first)));
                }
            },
            Err(fault) => return Err(fault),
        }
    }
    Ok(())
}

/// The activity that a record is, where it could be read.
fn event_id(record: &IngestRecord) -> Option<String> {
    match record {
        IngestRecord::Activity { activity, .. } => Some(activity.event_id.to_string()),
        IngestRecord::Bad { .. } => None,
    }
}

/// What goes to the dead letters in place of a record. A letter that was refused loses its text, and one without text
/// that is refused is beyond help.
fn dead(record: &IngestRecord, cause: &str) -> Option<IngestRecord> {
    match record {
        IngestRecord::Activity { seq, payload, .. } => Some(IngestRecord::Bad {
            seq: *seq,
            payload: payload.clone(),
            reason: format!("cannot be stored: {cause}"),
        }),
        IngestRecord::Bad { payload, .. } if payload.is_empty() => None,
        IngestRecord::Bad { seq, reason, .. } => Some(IngestRecord::Bad {
            seq: *seq,
            payload: String::new(),
            reason: format!("{reason}; its text cannot be stored: {cause}"),
        }),
    }
}

#[cfg(test)]
mod tests {
    use std::future::ready;

    use domain::{Activity, Timestamp};
    use uuid::Uuid;

    use super::*;

    fn batch(last: i64) -> Part {
        let record = |seq: i64| {
            let activity = Activity::new(Uuid::from_u128(seq.unsigned_abs().into()), "View", Timestamp::default());
            IngestRecord::Activity { seq, payload: activity.to_json(), activity: Box::new(activity) }
        };
        (last, (1..=last).map(record).collect())
    }

    /// Stores what it is given, but for activities at some positions and letters with text at others.
    struct Table {
        refused: Vec<i64>,
        refused_letters: Vec<i64>,
        offset: i64,
        stored: Vec<i64>,
        dead: Vec<(i64, String)>,
        calls: usize,
    }

    impl Table {
        fn refusing(refused: &[i64], refused_letters: &[i64]) -> Self {
            let (refused, refused_letters) = (refused.to_vec(), refused_letters.to_vec());
            Self { refused, refused_letters, offset: 0, stored: Vec::new(), dead: Vec::new(), calls: 0 }
        }

        fn apply(&mut self, expected: i64, next: i64, records: &[IngestRecord]) -> Result<(), ApplyError> {
            self.calls += 1;
            if expected != self.offset {
                return Err(ApplyError::NotOurs);
            }
            let refuses = |record: &IngestRecord| match record {
                IngestRecord::Activity { seq, .. } => self.refused.contains(seq),
                IngestRecord::Bad { seq, payload, .. } => self.refused_letters.contains(seq) && !payload.is_empty(),
            };
            if records.iter().any(refuses) {
                return Err(ApplyError::Poison("data too long".into()));
            }
            for record in records {
                match record {
                    IngestRecord::Activity { seq, .. } => self.stored.push(*seq),
                    IngestRecord::Bad { seq, reason, .. } => self.dead.push((*seq, reason.clone())),
                }
            }
            self.offset = next;
            Ok(())
        }
    }

    async fn run(table: &mut Table, part: Part) -> Result<i64, ApplyError> {
        let mut position = 0;
        apply_parts(&mut position, part, |expected, next, records| ready(table.apply(expected, next, &records)))
            .await?;
        Ok(position)
    }

    #[tokio::test]
    async fn one_record_that_cannot_be_stored_keeps_no_other_out() {
        for bad in [1, 500, 1_000] {
            let mut table = Table::refusing(&[bad], &[]);
            assert_eq!(run(&mut table, batch(1_000)).await.expect("stored"), 1_000);
            assert_eq!(table.stored.len(), 999);
            assert!(table.stored.is_sorted());
            assert_eq!(table.dead, [(bad, "cannot be stored: data too long".to_owned())]);
            assert!(table.calls <= 24, "halved, not tried one by one: {}", table.calls);
        }
    }

    #[tokio::test]
    async fn several_are_put_aside_and_a_letter_that_is_refused_loses_its_text() {
        let mut table = Table::refusing(&[3, 4, 9], &[4]);
        assert_eq!(run(&mut table, batch(10)).await.expect("stored"), 10);
        assert_eq!(table.stored, [1, 2, 5, 6, 7, 8, 10]);
        assert_eq!(table.dead.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), [3, 4, 9]);
        assert!(table.dead[1].1.contains("its text cannot be stored"));
    }

    #[tokio::test]
    async fn what_is_worth_another_try_is_told_and_the_position_is_where_the_offset_is() {
        let (mut position, mut calls) = (0, 0);
        let outcome = apply_parts(&mut position, batch(8), |_, next, _| {
            calls += 1;
            let outcome = match calls {
                1 => Err(ApplyError::Poison("too long".into())),
                2 => Ok(()),
                _ => Err(ApplyError::Transient(store::Error::Overloaded)),
            };
            ready(outcome.map(|()| assert_eq!(next, 4)))
        });
        assert!(matches!(outcome.await, Err(ApplyError::Transient(_))));
        assert_eq!(position, 4);
        let nothing = apply_parts(&mut position, (9, Arc::from([])), |_, _, _| {
            ready(Err(ApplyError::Poison("the offset itself".into())))
        });
        assert!(matches!(nothing.await, Err(ApplyError::Poison(_))), "it ends");
    }
}
