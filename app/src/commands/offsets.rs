//! `offsets list`, `offsets reset`: how far the readers of the log are.

use store::{DETECTOR, INGEST, INTAKE};

use super::Context;
use crate::cli;
use crate::failure::{Failure, Outcome};
use crate::output;

const READERS: [&str; 3] = [INGEST, DETECTOR, INTAKE];

pub(crate) async fn run(args: cli::Offsets, context: &Context) -> Outcome {
    let store = context.store_as_it_is().await?;
    let failed = context.failed();
    match args {
        cli::Offsets::List => {
            output::print(format!("{:10}{:24}{:>6}{:>14}", "READER", "TOPIC", "PART", "NEXT"))?;
            for reader in READERS {
                for (topic, part, next) in store.offsets(reader).await.map_err(failed)? {
                    output::print(format!("{reader:10}{topic:24}{part:>6}{next:>14}"))?;
                }
            }
        }
        cli::Offsets::Reset { reader, topic, partition } => {
            let Some(reader) = READERS.into_iter().find(|known| *known == reader) else {
                return Err(Failure::usage(format!("there is no reader {reader}; there are {}", READERS.join(", "))));
            };
            let mut forgotten = 0;
            for (of, part, _) in store.offsets(reader).await.map_err(failed)? {
                let meant = topic.as_ref().is_none_or(|topic| *topic == of) && partition.is_none_or(|one| one == part);
                if meant && store.reset_offset(reader, of, part).await.map_err(failed)? {
                    forgotten += 1;
                }
            }
            if forgotten == 0 {
                return Err(Failure::no("nothing is stored of that reader, topic and partition; see `offsets list`"));
            }
            output::note(format!(
                "{reader} begins {forgotten} partitions at their beginning; what comes again is known."
            ));
        }
    }
    store.close().await;
    Ok(())
}
