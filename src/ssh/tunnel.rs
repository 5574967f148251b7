//! A byte stream through a host: what the connection to the next host runs on.
//!
//! Stands on the pump of `exec`, so that an inner connection that waits to write cannot stall the outer one.

use std::sync::Arc;

use bytes::BytesMut;
use russh::Channel;
use russh::client::Msg;
use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::client::Shared;
use super::exec::{Exec, ExecEvent};

const BUFFER: usize = 256 * 1024;

/// Makes a stream of a channel. When the channel goes, so does the stream.
pub(super) fn stream(channel: Channel<Msg>, shared: Arc<Shared>) -> DuplexStream {
    let (near, far) = tokio::io::duplex(BUFFER);
    let (mut from_near, mut to_near) = tokio::io::split(far);
    let (mut reader, mut writer) = Exec::new(channel, shared, None).split();
    let inwards = async move {
        while let ExecEvent::Stdout(data) | ExecEvent::Stderr(data) = reader.next().await {
            if to_near.write_all(&data).await.is_err() {
                break;
            }
        }
    };
    let outwards = async move {
        let mut buffer = BytesMut::with_capacity(BUFFER);
        while from_near.read_buf(&mut buffer).await.is_ok_and(|n| n > 0) {
            if writer.write(buffer.split().freeze()).await.is_err() {
                break;
            }
            buffer.reserve(BUFFER);
        }
    };
    tokio::spawn(async move {
        // Either end is the end of both: half a connection is of no use.
        tokio::select! {
            () = inwards => {}
            () = outwards => {}
        }
    });
    near
}
