//! Opens the input of a capture, a file or standard input, and decompresses gzip.

use std::{
    fs::File,
    io::{self, Cursor, Read},
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use flate2::read::MultiGzDecoder;

/// RFC 1952 §2.3.1.
const GZIP_MAGIC: [u8; 2] = [0x1f, 0x8b];

/// A reader of uncompressed bytes.
pub(super) type Reader = Box<dyn Read + Send>;

/// Position and length of the input.
pub(super) struct Source {
    position: Arc<AtomicU64>,
    length: Option<u64>,
}

impl Source {
    /// Opens a file, or standard input for `-`.
    pub(super) fn open(path: &Path) -> io::Result<(Self, Reader)> {
        if path == Path::new("-") {
            return Self::new(Box::new(io::stdin()), None);
        }
        let file = File::open(path)?;
        let metadata = file.metadata()?;
        // A pipe reports 0.
        let length = metadata.is_file().then_some(metadata.len());
        Self::new(Box::new(file), length)
    }

    /// Reads from `raw`, decompressing it if it starts with the magic of gzip.
    pub(super) fn new(raw: Reader, length: Option<u64>) -> io::Result<(Self, Reader)> {
        let position = Arc::<AtomicU64>::default();
        let mut raw = CountingReader { raw, position: Arc::clone(&position) };
        let mut head = Vec::with_capacity(GZIP_MAGIC.len());
        raw.by_ref().take(GZIP_MAGIC.len() as u64).read_to_end(&mut head)?;
        let is_gzip = head == GZIP_MAGIC;
        let whole = Cursor::new(head).chain(raw);
        let reader: Reader =
            if is_gzip { Box::new(MultiGzDecoder::new(whole)) } else { Box::new(whole) };
        Ok((Self { position, length }, reader))
    }

    pub(super) fn position(&self) -> u64 {
        self.position.load(Ordering::Relaxed)
    }

    pub(super) fn length(&self) -> Option<u64> {
        self.length
    }
}

struct CountingReader {
    raw: Reader,
    position: Arc<AtomicU64>,
}

impl Read for CountingReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let count = self.raw.read(buffer)?;
        self.position.fetch_add(count as u64, Ordering::Relaxed);
        Ok(count)
    }
}
