/** Blosc frames and LZ4 blocks: what is right decodes to the byte, and everything else throws. */

import assert from "node:assert/strict";
import test from "node:test";

import { DamagedChunk, decodeBlock, decodeFrame } from "../../web/frame.js";
import { lz4Frame, rawFrame } from "./builders/wire.mjs";

// 2048 bytes as python-lz4 4.4.5 packs them, plain and high compression: byte i is floor(i * i / 50) % 5, then 7 from 400 on.
const PACKED = {
  LZ4: "EwABALEBAQICAgMDBAAAAQcAYwECAwQAAQQAtgIDAAIDAAEDAAIEBQDxCwIEAgQBBAEEAgQCAAMAAwEEAgADAQQDAQQCAwCWAwIABAIBAAQDBQDkAwICAQAABAQEAwMDAwIBAGEDAwMDBAR5AAd6AAF/AIECBAACAwQBAgMAFQN8ACcDAHwAAncAAXwA4wIAAwEAAwIAAwIABAMBBAABfwARA3kAAXUAIwEB8gAEAgAP+gB7HwcBAP///////11QBwcHBwc=",
  LZ4HC: "EwABALEBAQICAgMDBAAAAQcAIAECBQADBAAgAgMDAFYBAwACBAUAAAIAMAEEAQgAUAADAAMBBwAgAQQIAAEDAJYDAgAEAgEABAMFALADAgIBAAAEBAQDAwwAAwEAAA0AIQQEeQAHegACBQAAewAxBAECAwAVA3wAJwMAfAACdwAFBQAwAAMCAwAgBANxAAd6ACIBAIEANAIBAfMAD/oAgh8HAQD///////9dUAcHBwcH",
};

function sample() {
  return Uint8Array.from({ length: 2048 }, (_, i) => (i < 400 ? Math.floor((i * i) / 50) % 5 : 7));
}

function bytes(...values) {
  return Uint8Array.from(values.flat());
}

function text(string) {
  return new TextEncoder().encode(string);
}

for (const [name, packed] of Object.entries(PACKED)) {
  const stream = new Uint8Array(Buffer.from(packed, "base64"));

  test(`${name} from the reference encoder decodes to the byte`, () => {
    assert.deepEqual(decodeFrame(lz4Frame(stream, 2048)), sample());
  });

  test(`${name} cut short anywhere throws`, () => {
    for (let length = 0; length < stream.length; length += 1) {
      assert.throws(() => decodeBlock(stream.subarray(0, length), 2048), DamagedChunk, `cut to ${length} bytes`);
    }
  });

  test(`${name} with one damaged byte throws DamagedChunk or keeps its length`, () => {
    for (let at = 0; at < stream.length; at += 1) {
      for (const flip of [0x01, 0x0f, 0xf0, 0xff]) {
        const damaged = stream.slice();
        damaged[at] ^= flip;
        try {
          assert.equal(decodeBlock(damaged, 2048).length, 2048);
        } catch (error) {
          assert.ok(error instanceof DamagedChunk, `byte ${at}: ${error}`);
        }
      }
    }
  });

  test(`${name} asked for another length throws`, () => {
    for (const length of [0, 2047, 2049, 4096]) assert.throws(() => decodeBlock(stream, length), DamagedChunk);
  });
}

test("a block of literals alone", () => {
  assert.deepEqual(decodeBlock(bytes(0x50, [...text("voxel")]), 5), text("voxel"));
  assert.deepEqual(decodeBlock(bytes(0x00), 0), new Uint8Array(0));
});

test("literal counts from 14 to 15 + 255 + 255 + 1, where their extra bytes begin and end", () => {
  for (const count of [14, 15, 16, 269, 270, 271, 524, 525, 526]) {
    const literals = Uint8Array.from({ length: count }, (_, i) => i * 7);
    const extra = count < 15 ? [] : [...Array(Math.floor((count - 15) / 255)).fill(255), (count - 15) % 255];
    const stream = bytes(Math.min(count, 15) << 4, extra, [...literals]);
    assert.deepEqual(decodeBlock(stream, count), literals, `${count} literals`);
  }
});

test("a match that overlaps itself repeats what it has just written", () => {
  for (const offset of [1, 2, 3, 7]) {
    const seed = text("abcdefg").subarray(0, offset);
    const stream = bytes((offset << 4) | 6, [...seed], offset, 0, 0x10, 0x21); // a match of 10, then one literal
    const expected = text("abcdefg".slice(0, offset).repeat(11).slice(0, offset + 10) + "!");
    assert.deepEqual(decodeBlock(stream, offset + 11), expected, `offset ${offset}`);
  }
});

test("a match of many extra length bytes, overlapping and not", () => {
  const run = bytes(0x1f, 9, 1, 0, 255, 255, 200, 0x10, 5); // one 9, then 4 + 15 + 255 + 255 + 200 more of it
  assert.deepEqual(decodeBlock(run, 731), bytes(Array(730).fill(9), 5));

  const half = Uint8Array.from({ length: 300 }, (_, i) => i * 13);
  const copied = bytes(0xff, 255, 30, [...half], 300 & 255, 300 >> 8, 255, 26, 0x10, 5); // 300 literals, then 300 from offset 300
  assert.deepEqual(decodeBlock(copied, 601), bytes([...half], [...half], 5));
});

test("offsets that point outside what is decoded throw", () => {
  assert.throws(() => decodeBlock(bytes(0x10, 9, 0, 0, 0x10, 5), 6), /offset 0 points outside/);
  assert.throws(() => decodeBlock(bytes(0x10, 9, 2, 0, 0x10, 5), 6), /offset 2 points outside/);
});

test("a stream that ends with a match throws: the last sequence is literals", () => {
  assert.throws(() => decodeBlock(bytes(0x10, 9, 1, 0), 5), /ends before its last literals/);
});

test("more output than asked for throws, from literals and from matches", () => {
  assert.throws(() => decodeBlock(bytes(0x50, [...text("voxel")]), 4), /more than 4 bytes/);
  assert.throws(() => decodeBlock(bytes(0x1f, 9, 1, 0, 255, 0, 0x10, 5), 100), /more than 100 bytes/);
});

test("less output than asked for throws", () => {
  assert.throws(() => decodeBlock(bytes(0x50, [...text("voxel")]), 6), /holds 5 bytes instead of 6/);
});

test("a raw frame is its bytes, aligned for any typed array, wherever the frame lies in its buffer", () => {
  const raw = Uint8Array.from({ length: 64 }, (_, i) => i);
  const frame = rawFrame(raw);
  const shifted = new Uint8Array(frame.length + 3);
  shifted.set(frame, 3);
  const decoded = decodeFrame(shifted.subarray(3));
  assert.deepEqual(decoded, raw);
  assert.equal(decoded.byteOffset % 8, 0);
});

test("every other frame is refused", () => {
  const stream = new Uint8Array(Buffer.from(PACKED.LZ4, "base64"));
  const changed = (frame, change) => {
    change(new DataView(frame.buffer), frame);
    return frame;
  };
  const lz4 = (change) => changed(lz4Frame(stream, 2048), change);
  const raw = (change) => changed(rawFrame(sample()), change);
  const refused = {
    "nothing": new Uint8Array(0),
    "half a header": rawFrame(sample()).subarray(0, 15),
    "another Blosc version": lz4((_, frame) => (frame[0] = 3)),
    "another LZ4 version": lz4((_, frame) => (frame[1] = 2)),
    "zstd": lz4((_, frame) => (frame[2] = 0x90)),
    "split streams": lz4((_, frame) => (frame[2] = 0x20)),
    "byte shuffle": lz4((_, frame) => (frame[2] = 0x31)),
    "bit shuffle": lz4((_, frame) => (frame[2] = 0x34)),
    "several blocks": lz4((view) => view.setUint32(8, 1024, true)),
    "a wrong frame length": lz4((view) => view.setUint32(12, 2048, true)),
    "a cut frame": lz4Frame(stream, 2048).subarray(0, 60),
    "a frame with bytes after it": Uint8Array.from([...lz4Frame(stream, 2048), 0]),
    "a stream elsewhere": lz4((view) => view.setInt32(16, 24, true)),
    "a stream shorter than its frame": lz4((view) => view.setInt32(20, stream.length - 1, true)),
    "a negative stream length": lz4((view) => view.setInt32(20, -1, true)),
    "no room for a stream": changed(lz4Frame(stream, 2048).slice(0, 20), (view) => view.setUint32(12, 20, true)),
    "a stream as long as its block": lz4Frame(stream, stream.length),
    "gigabytes from a few bytes": lz4Frame(stream, 0xf0000000),
    "raw bytes of another length": raw((view) => (view.setUint32(4, 2047, true), view.setUint32(8, 2047, true))),
  };
  for (const [name, frame] of Object.entries(refused)) assert.throws(() => decodeFrame(frame), DamagedChunk, name);
});
