//! Frames: `u32` length of what follows, one byte of kind, `u32` stream, payload; big-endian. The bounds are checked before
//! anything is kept, for what comes over the wire is untrusted.

/// The longest payload.
pub const MAX_PAYLOAD: usize = 8 << 20;
const HEAD: usize = 5;

/// What a payload is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// JSON of a [`super::Request`].
    Request,
    /// JSON of a [`super::Reply`].
    Reply,
    /// Bytes of a record.
    Data,
    /// `u32`: how many more bytes of a record may be sent.
    Credit,
    /// Nothing: the client is still there.
    Alive,
}

impl Kind {
    fn byte(self) -> u8 {
        match self {
            Self::Request => b'Q',
            Self::Reply => b'R',
            Self::Data => b'D',
            Self::Credit => b'C',
            Self::Alive => b'A',
        }
    }

    fn of(byte: u8) -> Option<Self> {
        [Self::Request, Self::Reply, Self::Data, Self::Credit, Self::Alive].into_iter().find(|kind| kind.byte() == byte)
    }
}

/// One frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Message {
    /// What the payload is.
    pub kind: Kind,
    /// To which request it belongs; 0 is the connection itself.
    pub stream: u32,
    /// The bytes.
    pub payload: Vec<u8>,
}

/// Why bytes are no frames.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    /// A length beyond the bound, or below the head's.
    #[error("a frame of {0} bytes")]
    Length(u32),
    /// A kind that does not exist.
    #[error("a frame of kind {0:#04x}")]
    Kind(u8),
}

/// Appends a frame to `out`.
pub fn encode(out: &mut Vec<u8>, kind: Kind, stream: u32, payload: &[u8]) {
    debug_assert!(payload.len() <= MAX_PAYLOAD);
    let length = u32::try_from(HEAD + payload.len()).unwrap_or(u32::MAX);
    out.extend_from_slice(&length.to_be_bytes());
    out.push(kind.byte());
    out.extend_from_slice(&stream.to_be_bytes());
    out.extend_from_slice(payload);
}

/// Finds frames in bytes that come in pieces of any size.
#[derive(Debug, Default)]
pub struct Decoder {
    rest: Vec<u8>,
    from: usize,
}

impl Decoder {
    /// Takes the next bytes.
    pub fn push(&mut self, bytes: &[u8]) {
        self.rest.drain(..self.from);
        self.from = 0;
        self.rest.extend_from_slice(bytes);
    }

    /// The next whole frame, if there is one.
    pub fn next_message(&mut self) -> Result<Option<Message>, FrameError> {
        let rest = &self.rest[self.from..];
        let Some((length, rest)) = rest.split_first_chunk::<4>() else { return Ok(None) };
        let length = u32::from_be_bytes(*length);
        let size = length as usize;
        if !(HEAD..=HEAD + MAX_PAYLOAD).contains(&size) {
            return Err(FrameError::Length(length));
        }
        let Some(frame) = rest.get(..size) else { return Ok(None) };
        let kind = Kind::of(frame[0]).ok_or(FrameError::Kind(frame[0]))?;
        let stream = u32::from_be_bytes([frame[1], frame[2], frame[3], frame[4]]);
        let payload = frame[HEAD..].to_vec();
        self.from += 4 + size;
        Ok(Some(Message { kind, stream, payload }))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_survive_any_cut() {
        let mut bytes = Vec::new();
        encode(&mut bytes, Kind::Request, 1, b"{}");
        encode(&mut bytes, Kind::Data, 70_000, &[0, 255, 10]);
        encode(&mut bytes, Kind::Credit, 2, b"");
        for size in 1..=bytes.len() {
            let (mut decoder, mut seen) = (Decoder::default(), Vec::new());
            for piece in bytes.chunks(size) {
                decoder.push(piece);
                while let Some(message) = decoder.next_message().expect("frame") {
                    seen.push((message.kind, message.stream, message.payload));
                }
            }
            assert_eq!(
                seen,
                [(Kind::Request, 1, b"{}".to_vec()), (Kind::Data, 70_000, vec![0, 255, 10]), (Kind::Credit, 2, vec![])]
            );
        }
    }

    #[test]
    fn bounds_are_checked_before_bytes_are_kept() {
        let mut decoder = Decoder::default();
        decoder.push(&u32::MAX.to_be_bytes());
        assert_eq!(decoder.next_message(), Err(FrameError::Length(u32::MAX)));
        let mut decoder = Decoder::default();
        decoder.push(&[0, 0, 0, 5, b'?', 0, 0, 0, 0]);
        assert_eq!(decoder.next_message(), Err(FrameError::Kind(b'?')));
    }
}
