// Zip archives: read within bounds, since a file may be broken or hostile; written without compression, since photos
// are compressed already. Whatever is wrong with an archive is thrown as an error.

/**
 * A file in an archive: its size, and the function that reads it, which throws if it is not as it was written.
 *
 * @typedef {{ size: number, read: () => Promise<Blob> }} Part
 */

/** The signatures of a file's header, of an entry of the directory, and of its end; the sizes of these. */
const [LOCAL, ENTRY, END] = [0x04034b50, 0x02014b50, 0x06054b50];
const [LOCAL_SIZE, ENTRY_SIZE, END_SIZE] = [30, 46, 22];
/** The longest comment after the end, and the largest size that an archive can have. */
const [COMMENT, LARGEST] = [0xffff, 0xffffffff];
/** The version of the format, the flag of names in UTF-8, and the date of files: the first that there is. */
const [VERSION, UTF8, DATE] = [20, 0x0800, 0x0021];
/** The remainders of bytes for their checksum. */
const REMAINDERS = Uint32Array.from({ length: 256 }, (_, byte) => {
  let rest = byte;
  for (let bit = 0; bit < 8; bit += 1) rest = rest & 1 ? (rest >>> 1) ^ 0xedb88320 : rest >>> 1;
  return rest;
});

/** Returns the CRC-32 of a file. @param {Blob} blob */
async function checksumOf(blob) {
  const bytes = new Uint8Array(await blob.arrayBuffer());
  let rest = -1;
  for (let i = 0; i < bytes.length; i += 1) rest = REMAINDERS[(rest ^ bytes[i]) & 255] ^ (rest >>> 8);
  return ~rest >>> 0;
}

/** @param {Blob} blob */
const viewOf = async (blob) => new DataView(await blob.arrayBuffer());

/** @type {(isRight: boolean) => void} */
function check(isRight) {
  if (!isRight) throw new Error("not a sound archive");
}

/** Returns the files of an archive by their names; none is read if it has more than most bytes. */
/** @type {(file: Blob, most: number) => Promise<Map<string, Part>>} */
export async function partsOf(file, most) {
  const tail = Math.max(0, file.size - END_SIZE - COMMENT);
  const ending = await viewOf(file.slice(tail));
  let end = ending.byteLength - END_SIZE;
  while (end >= 0 && ending.getUint32(end, true) !== END) end -= 1;
  check(end >= 0);
  const [length, start] = [12, 16].map((offset) => ending.getUint32(end + offset, true));
  check(start + length <= tail + end);
  const directory = await viewOf(file.slice(start, start + length));
  /** @type {Map<string, Part>} */
  const parts = new Map();
  for (let at = 0; at < length;) {
    check(at + ENTRY_SIZE <= length && directory.getUint32(at, true) === ENTRY);
    const [method, named, extra, note] = [10, 28, 30, 32].map((offset) => directory.getUint16(at + offset, true));
    const [checksum, packed, size, from] = [16, 20, 24, 42].map((offset) => directory.getUint32(at + offset, true));
    const name = new TextDecoder().decode(new Uint8Array(directory.buffer, at + ENTRY_SIZE, named));
    check(!parts.has(name));
    const read = async () => {
      check(size <= most && from + LOCAL_SIZE + packed <= start && (method === 0 || method === 8));
      const header = await viewOf(file.slice(from, from + LOCAL_SIZE));
      check(header.getUint32(0, true) === LOCAL);
      const begin = from + LOCAL_SIZE + header.getUint16(26, true) + header.getUint16(28, true);
      const stored = file.slice(begin, begin + packed);
      const blob = method ? await inflated(stored, size) : stored;
      check(blob.size === size && await checksumOf(blob) === checksum);
      return blob;
    };
    parts.set(name, { size, read });
    at += ENTRY_SIZE + named + extra + note;
  }
  return parts;
}

/** Returns a file without its compression; it is left as soon as it is larger than it says. */
/** @type {(stored: Blob, size: number) => Promise<Blob>} */
async function inflated(stored, size) {
  const reader = stored.stream().pipeThrough(new DecompressionStream("deflate-raw")).getReader();
  /** @type {BlobPart[]} */
  const chunks = [];
  for (let length = 0; ;) {
    const { done, value } = await reader.read();
    if (done) return new Blob(chunks);
    length += value.length;
    if (length > size) await reader.cancel();
    check(length <= size);
    chunks.push(value);
  }
}

/** Returns an archive of files by their names; null: they are too large for one. */
/** @type {(files: [string, Blob][]) => Promise<Blob | null>} */
export async function archiveOf(files) {
  /** @type {BlobPart[]} */
  const parts = [];
  /** @type {Uint8Array<ArrayBuffer>[]} */
  const directory = [];
  let at = 0;
  for (const [name, blob] of files) {
    const label = new TextEncoder().encode(name);
    /** The facts that the header and the entry share. @type {[number, number][]} */
    const facts = [
      [VERSION, 2], [UTF8, 2], [0, 4], [DATE, 2], [await checksumOf(blob), 4], [blob.size, 4], [blob.size, 4],
      [label.length, 2], [0, 2],
    ];
    parts.push(bytesOf([LOCAL, 4], ...facts), label, blob);
    directory.push(bytesOf([ENTRY, 4], [VERSION, 2], ...facts, [0, 10], [at, 4]), label);
    at += LOCAL_SIZE + label.length + blob.size;
  }
  const size = directory.reduce((sum, { length }) => sum + length, 0);
  const count = files.length;
  const end = bytesOf([END, 4], [0, 4], [count, 2], [count, 2], [size, 4], [at, 4], [0, 2]);
  return at + size > LARGEST ? null : new Blob([...parts, ...directory, end]);
}

/** Returns numbers as bytes, the lowest first: the value of each, and its number of bytes. */
/** @type {(...fields: [number, number][]) => Uint8Array<ArrayBuffer>} */
const bytesOf = (...fields) => Uint8Array.from(fields.flatMap(([value, count]) => (
  Array.from({ length: count }, (_, i) => (i < 4 ? (value >>> (8 * i)) & 255 : 0)))));
