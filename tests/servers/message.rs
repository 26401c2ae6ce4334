//! HTTP/1.1 messages as bytes: requests and answers, read whole and kept as they were.
//!
//! Apart because the proxy and the stand-ins read the same way. Without TLS, without HTTP/2; what is
//! in a body is known to whoever asks for [`Message::text`].

use std::io::{BufRead, Read, Write};
use std::net::TcpStream;

/// A request or an answer.
#[derive(Clone, Debug)]
pub(crate) struct Message {
    /// Its first line and headers, up to and with the empty line.
    pub(crate) head: Vec<u8>,
    /// As it was on the wire, chunk borders included.
    pub(crate) body: Vec<u8>,
    /// The connection ends with it.
    pub(crate) closes: bool,
}

impl Message {
    /// Reads one; `None` if the other side has closed. `peer` is told to go on when it waits for
    /// that (`Expect: 100-continue`).
    pub(crate) fn read(
        from: &mut impl BufRead,
        mut peer: &TcpStream,
        answer_to_head: bool,
    ) -> std::io::Result<Option<Self>> {
        let mut message = Self { head: Vec::new(), body: Vec::new(), closes: false };
        while !message.head.ends_with(b"\r\n\r\n") {
            if from.read_until(b'\n', &mut message.head)? == 0 {
                return Ok(None);
            }
        }
        let is_answer = message.head.starts_with(b"HTTP/");
        if !is_answer && message.header("expect").is_some() {
            peer.write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        message.closes = message.header("connection").is_some_and(|value| value == "close")
            || message.head.starts_with(b"HTTP/1.0");
        let bare = is_answer && ["204", "304"].contains(&message.word(1).as_str());
        if answer_to_head || bare || message.method() == "CONNECT" {
            // No body, whatever the length says.
        } else if message.is_chunked() {
            read_chunked(from, &mut message.body)?;
        } else if let Some(length) = message.header("content-length") {
            let length = length.parse().map_err(std::io::Error::other)?;
            from.take(length).read_to_end(&mut message.body)?;
            if (message.body.len() as u64) < length {
                return Err(std::io::ErrorKind::UnexpectedEof.into());
            }
        } else if is_answer {
            from.read_to_end(&mut message.body)?;
            message.closes = true;
        }
        Ok(Some(message))
    }

    pub(crate) fn bytes(&self) -> Vec<u8> {
        [self.head.as_slice(), &self.body].concat()
    }

    /// Of a request.
    pub(crate) fn method(&self) -> String {
        self.word(0)
    }

    /// Of a request: its target, as it was sent.
    pub(crate) fn path(&self) -> String {
        self.word(1)
    }

    /// A header's value; the name in lower case.
    pub(crate) fn header(&self, name: &str) -> Option<String> {
        let text = String::from_utf8_lossy(&self.head).into_owned();
        text.lines().skip(1).find_map(|line| {
            let (found, value) = line.split_once(':')?;
            found.eq_ignore_ascii_case(name).then(|| value.trim().to_owned())
        })
    }

    /// The body without transfer and content codings. An error says what is wrong with it.
    pub(crate) fn text(&self) -> Result<Vec<u8>, String> {
        let mut body = self.body.clone();
        if self.is_chunked() {
            body = unchunked(&body).ok_or("bad chunks")?;
        }
        let mut text = Vec::new();
        match self.header("content-encoding").as_deref() {
            None | Some("identity") => return Ok(body),
            Some("gzip") => flate2::read::GzDecoder::new(&*body).read_to_end(&mut text).map(drop),
            Some("deflate") => {
                flate2::read::ZlibDecoder::new(&*body).read_to_end(&mut text).map(drop)
            }
            Some("zstd") => zstd::stream::copy_decode(&*body, &mut text),
            Some(other) => return Err(format!("content coding {other}")),
        }
        .map_err(|error| format!("the body does not unpack: {error}"))?;
        Ok(text)
    }

    /// Of a request to a proxy: names the target without scheme and host, as a server expects it.
    pub(crate) fn make_origin_form(&mut self) {
        let path = self.path();
        let Some(behind) = path.strip_prefix("http://") else { return };
        let origin = behind.find('/').map_or("/", |slash| &behind[slash..]);
        let at = self.method().len() + 1;
        self.head.splice(at..at + path.len(), origin.bytes());
    }

    fn is_chunked(&self) -> bool {
        self.header("transfer-encoding").is_some_and(|value| value.contains("chunked"))
    }

    fn word(&self, position: usize) -> String {
        let mut words = self.head.split(|byte| matches!(byte, b' ' | b'\r'));
        String::from_utf8_lossy(words.nth(position).unwrap_or_default()).into_owned()
    }
}

/// Keeps the chunk borders: the bytes are passed on as they are.
fn read_chunked(from: &mut impl BufRead, body: &mut Vec<u8>) -> std::io::Result<()> {
    loop {
        let start = body.len();
        from.read_until(b'\n', body)?;
        let size = chunk_size(&body[start..]).ok_or(std::io::ErrorKind::InvalidData)?;
        from.take(size + 2).read_to_end(body)?;
        if size == 0 {
            return Ok(());
        }
    }
}

fn chunk_size(line: &[u8]) -> Option<u64> {
    let line = String::from_utf8_lossy(line);
    u64::from_str_radix(line.trim().split(';').next()?, 16).ok()
}

fn unchunked(mut body: &[u8]) -> Option<Vec<u8>> {
    let mut text = Vec::new();
    loop {
        let end = body.iter().position(|byte| *byte == b'\n')? + 1;
        let size = usize::try_from(chunk_size(&body[..end])?).ok()?;
        if size == 0 {
            return Some(text);
        }
        text.extend_from_slice(body.get(end..end + size)?);
        body = body.get(end + size + 2..)?;
    }
}
