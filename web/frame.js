/**
 * Blosc-1 frames around one chunk, and the LZ4 block inside.
 *
 * The server sends exactly two kinds: raw bytes behind a 16-byte header, and one plain LZ4 block behind 24 bytes.
 * Whatever else arrives is damage or another server's, and is refused: a wrong guess would show as a plausible picture.
 *
 * Sources: c-blosc's README_CHUNK_FORMAT.rst; lz4's doc/lz4_Block_format.md.
 */

/** The bytes of a chunk cannot be what its metadata promises. */
export class DamagedChunk extends Error {
  name = "DamagedChunk";
}

const HEADER_BYTES = 16;
const STREAM_START = 20;
const PREFIX_BYTES = 24;
const FLAG_RAW = 0x02;
const FLAGS_ONE_LZ4_STREAM = 0x30; // "do not split" and, in the upper three bits, codec 1 = LZ4

// One byte of an LZ4 length adds at most 255 bytes, so a stream can never grow by more than that.
const MOST_GROWTH = 255;

/** The raw bytes of one frame, in a buffer of their own. Throws DamagedChunk. */
export function decodeFrame(frame) {
  if (frame.length < HEADER_BYTES) fail(`a frame of ${frame.length} bytes has no room for its header`);
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  const [version, lzVersion, flags] = frame;
  const rawBytes = view.getUint32(4, true);
  const blockBytes = view.getUint32(8, true);
  const frameBytes = view.getUint32(12, true);
  if (version !== 2 || lzVersion !== 1) fail(`not a Blosc-1 frame (versions ${version} and ${lzVersion})`);
  if (frameBytes !== frame.length) fail(`the frame says ${frameBytes} bytes, but ${frame.length} arrived`);
  if (blockBytes !== rawBytes) fail("the frame has several blocks");

  if (flags & FLAG_RAW) {
    if (frameBytes !== HEADER_BYTES + rawBytes) fail(`${frameBytes} bytes cannot frame ${rawBytes} raw bytes`);
    // A copy, so that it starts at a multiple of 8 and any typed array fits over it.
    return frame.slice(HEADER_BYTES);
  }

  if (flags !== FLAGS_ONE_LZ4_STREAM) fail(`unknown frame flags 0x${flags.toString(16).padStart(2, "0")}`);
  if (frameBytes < PREFIX_BYTES) fail("the frame ends before its stream");
  const streamStart = view.getInt32(16, true);
  const streamBytes = view.getInt32(20, true);
  if (streamStart !== STREAM_START) fail(`the stream starts at byte ${streamStart} instead of ${STREAM_START}`);
  if (streamBytes !== frameBytes - PREFIX_BYTES) fail(`a stream of ${streamBytes} bytes does not fill the frame`);
  // Blosc takes a stream as long as the block for a raw copy, so the server never sends one.
  if (streamBytes === rawBytes) fail("a stream as long as its block is ambiguous");
  // Asked before the target is allocated: a damaged length must not cost gigabytes.
  if (rawBytes > streamBytes * MOST_GROWTH) fail(`${streamBytes} bytes of LZ4 cannot hold ${rawBytes} bytes`);
  return decodeBlock(frame.subarray(PREFIX_BYTES), rawBytes);
}

/** One LZ4 block, decoded to exactly `length` bytes. Throws DamagedChunk on anything shorter, longer or out of bounds. */
export function decodeBlock(source, length) {
  const target = new Uint8Array(length);
  let from = 0;
  let to = 0;

  /** The rest of a length whose four bits were all set: bytes are added until one is not 255. */
  function extended(count) {
    let byte;
    do {
      if (from >= source.length) fail("the stream ends inside a length");
      byte = source[from++];
      count += byte;
    } while (byte === 255);
    return count;
  }

  for (;;) {
    if (from >= source.length) fail("the stream ends before its last literals");
    const token = source[from++];

    const literals = token >> 4 === 15 ? extended(15) : token >> 4;
    if (literals > source.length - from) fail("literals run past the end of the stream");
    if (literals > length - to) fail(`the stream holds more than ${length} bytes`);
    target.set(source.subarray(from, from + literals), to);
    from += literals;
    to += literals;
    if (from === source.length) break; // only the last sequence has no match

    if (source.length - from < 2) fail("the stream ends inside an offset");
    const offset = source[from] | (source[from + 1] << 8);
    from += 2;
    if (offset === 0 || offset > to) fail(`offset ${offset} points outside the ${to} bytes decoded so far`);
    const match = ((token & 15) === 15 ? extended(15) : token & 15) + 4;
    if (match > length - to) fail(`the stream holds more than ${length} bytes`);
    copyMatch(target, to, offset, match);
    to += match;
  }
  if (to !== length) fail(`the stream holds ${to} bytes instead of ${length}`);
  return target;
}

/** Copy `count` bytes from `offset` before `to`; where they overlap, the bytes just written repeat. */
function copyMatch(target, to, offset, count) {
  if (offset >= count) {
    target.copyWithin(to, to - offset, to - offset + count);
    return;
  }
  for (const end = to + count; to < end; to += 1) target[to] = target[to - offset];
}

function fail(sentence) {
  throw new DamagedChunk(sentence);
}
