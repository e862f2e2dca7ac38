// Zip archives, and what is wrong with those of others.

import assert from "node:assert/strict";
import { Buffer } from "node:buffer";
import { execFileSync } from "node:child_process";
import process from "node:process";
import { test } from "node:test";
import { crc32, deflateRawSync } from "node:zlib";
import { archiveOf, partsOf } from "../../../pyharmony/serve/static/zip.js";

const MOST = 1e6;
const FILES = [["document.json", "{}"], ["files/1/фото é.png", "\0\x01ÿ".repeat(999)], ["empty", ""]];

const written = () => archiveOf(FILES.map(([name, text]) => [name, new Blob([text])]));
const bytesOf = async (blob) => new Uint8Array(await blob.arrayBuffer());
/** Reads every file of an archive. */
async function all(blob, most = MOST) {
  const texts = [];
  for (const [name, { read }] of await partsOf(blob, most)) texts.push([name, await (await read()).text()]);
  return texts;
}

/** Returns an archive with one compressed file, whose directory says what is given here. */
async function packed(text, facts = {}) {
  const content = deflateRawSync(Buffer.from(text));
  const bytes = Buffer.from(await bytesOf(await archiveOf([["a", new Blob([content])]])));
  const entry = bytes.length - 22 - 47;
  const { method = 8, size = Buffer.byteLength(text), checksum = crc32(text) } = facts;
  bytes.writeUInt16LE(method, entry + 10);
  bytes.writeUInt32LE(checksum, entry + 16);
  bytes.writeUInt32LE(size, entry + 24);
  return new Blob([bytes]);
}

test("what is written is read again, and by others", async () => {
  assert.deepEqual(await all(await written()), FILES);
  const script = "import io, sys, zipfile; z = zipfile.ZipFile(io.BytesIO(sys.stdin.buffer.read())); "
    + "assert z.testzip() is None; print(z.namelist(), [len(z.read(one)) for one in z.namelist()])";
  const text = execFileSync("python3", ["-c", script], {
    input: await bytesOf(await written()), env: { ...process.env, PYTHONIOENCODING: "utf-8" },
  }).toString();
  assert.equal(text.trim(), "['document.json', 'files/1/фото é.png', 'empty'] [2, 3996, 0]");
});

test("what others have compressed is read, with a comment at the end", async () => {
  assert.deepEqual(await all(await packed("layers".repeat(500))), [["a", "layers".repeat(500)]]);
  const bytes = Buffer.from(await bytesOf(await written()));
  bytes.writeUInt16LE(4, bytes.length - 2);
  assert.deepEqual(await all(new Blob([bytes, "note"])), FILES);
});

test("an archive that is cut anywhere, or has a wrong byte, is refused or as it was", async () => {
  const bytes = await bytesOf(await written());
  for (let length = 0; length < bytes.length; length += 7) {
    await assert.rejects(all(new Blob([bytes.slice(0, length)])), String(length));
  }
  for (let at = 0; at < bytes.length; at += 1) {
    const other = bytes.slice();
    other[at] ^= 0x55;
    // Dates and versions are of no use here; another name is another file.
    const texts = await all(new Blob([other])).catch(() => null);
    texts?.forEach(([, text], i) => assert.equal(text, FILES[i][1], String(at)));
  }
});

test("a file that is larger than it says, or than is allowed, is not unpacked", async () => {
  const bomb = "0".repeat(5e6);
  await assert.rejects(all(await packed(bomb)));
  await assert.rejects(all(await packed(bomb, { size: 1000 })));
  await assert.rejects(all(await packed("text", { size: 5 })));
  await assert.rejects(all(await packed("text", { checksum: 1 })));
  await assert.rejects(all(await packed("text", { method: 12 })));
  assert.equal((await all(await packed(bomb), 5e6))[0][1].length, 5e6);
  await assert.rejects(all(await written(), 1000));
});

test("two files of one name are refused", async () => {
  const twice = await archiveOf([["a", new Blob(["1"])], ["a", new Blob(["2"])]]);
  await assert.rejects(partsOf(twice, MOST));
});
