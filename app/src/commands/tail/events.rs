//! [`Events`]: server-sent events, as far as this server sends them.

use tokio::io::{AsyncBufRead, AsyncBufReadExt};

/// One event.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Event {
    pub(super) id: Option<String>,
    pub(super) data: String,
}

/// The event that is being read.
#[derive(Debug, Default)]
pub(super) struct Events {
    event: Event,
}

impl Events {
    /// Reads on; an event, or nothing where a line came that does not complete one.
    pub(super) async fn next(&mut self, body: &mut (impl AsyncBufRead + Unpin)) -> Result<Option<Event>, String> {
        let mut line = String::new();
        if body.read_line(&mut line).await.map_err(|error| error.to_string())? == 0 || !line.ends_with('\n') {
            return Err("the connection has ended".to_owned());
        }
        let line = line.trim_end_matches(['\r', '\n']);
        if line.is_empty() {
            let event = std::mem::take(&mut self.event);
            return Ok((!event.data.is_empty()).then_some(event));
        }
        let (name, value) = line.split_once(':').unwrap_or((line, ""));
        let value = value.strip_prefix(' ').unwrap_or(value);
        match name {
            "id" => self.event.id = Some(value.to_owned()),
            "data" => {
                if !self.event.data.is_empty() {
                    self.event.data.push('\n');
                }
                self.event.data.push_str(value);
            }
            // Its kind, and comments, which say that the server is there.
            _ => {}
        }
        Ok(None)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn events_are_read_between_comments_and_half_an_event_is_none() {
        let mut body: &[u8] = b":\n\nevent: alert\nid: 7.x\ndata: {\"a\":\ndata: 1}\n\ndata:2\r\n\r\ndata: 3\n";
        let (mut events, mut found) = (Events::default(), Vec::new());
        let end = loop {
            match events.next(&mut body).await {
                Ok(event) => found.extend(event),
                Err(end) => break end,
            }
        };
        let first = Event { id: Some("7.x".to_owned()), data: "{\"a\":\n1}".to_owned() };
        assert_eq!(found, [first, Event { id: None, data: "2".to_owned() }]);
        assert_eq!(end, "the connection has ended");
    }
}
