import { encodeKey, keyView } from './key-bytes.ts'

const state = new Int32Array(4)

/**
 * The MD5 digest (RFC 1321) of the UTF-8 bytes of `text`, as four words that are valid until the next call. It runs for
 * every command, and node:crypto allocates and takes eight times as long for a short key.
 */
export function md5(text: string): Int32Array {
  const end = pad(encodeKey(text))
  state[0] = 0x67452301
  state[1] = 0xefcdab89
  state[2] = 0x98badcfe
  state[3] = 0x10325476
  for (let at = 0; at < end; at += 64) mix(keyView, at, state)
  return state
}

/** RFC 1321, 3.1 and 3.2: appends a one bit, zeros and the length in bits. Returns the end of the last block. */
function pad(length: number): number {
  const end = (length + 72) & ~63
  keyView.setInt32(length, 0x80, true)
  for (let at = (length + 4) & ~3; at < end; at += 4) keyView.setInt32(at, 0)
  keyView.setUint32(end - 8, length << 3, true)
  return end
}

/** RFC 1321, 3.4: the 64 steps for one block, unrolled, because loops over tables take twice as long. */
function mix(view: DataView, at: number, out: Int32Array): void {
  let a = out[0] as number
  let b = out[1] as number
  let c = out[2] as number
  let d = out[3] as number
  const x0 = view.getInt32(at, true)
  const x1 = view.getInt32(at + 4, true)
  const x2 = view.getInt32(at + 8, true)
  const x3 = view.getInt32(at + 12, true)
  const x4 = view.getInt32(at + 16, true)
  const x5 = view.getInt32(at + 20, true)
  const x6 = view.getInt32(at + 24, true)
  const x7 = view.getInt32(at + 28, true)
  const x8 = view.getInt32(at + 32, true)
  const x9 = view.getInt32(at + 36, true)
  const x10 = view.getInt32(at + 40, true)
  const x11 = view.getInt32(at + 44, true)
  const x12 = view.getInt32(at + 48, true)
  const x13 = view.getInt32(at + 52, true)
  const x14 = view.getInt32(at + 56, true)
  const x15 = view.getInt32(at + 60, true)

  // F: bits of y where x is set, of z elsewhere.
  a = turn(b, (a + (d ^ (b & (c ^ d))) + x0 + 0xd76aa478) | 0, 7)
  d = turn(a, (d + (c ^ (a & (b ^ c))) + x1 + 0xe8c7b756) | 0, 12)
  c = turn(d, (c + (b ^ (d & (a ^ b))) + x2 + 0x242070db) | 0, 17)
  b = turn(c, (b + (a ^ (c & (d ^ a))) + x3 + 0xc1bdceee) | 0, 22)
  a = turn(b, (a + (d ^ (b & (c ^ d))) + x4 + 0xf57c0faf) | 0, 7)
  d = turn(a, (d + (c ^ (a & (b ^ c))) + x5 + 0x4787c62a) | 0, 12)
  c = turn(d, (c + (b ^ (d & (a ^ b))) + x6 + 0xa8304613) | 0, 17)
  b = turn(c, (b + (a ^ (c & (d ^ a))) + x7 + 0xfd469501) | 0, 22)
  a = turn(b, (a + (d ^ (b & (c ^ d))) + x8 + 0x698098d8) | 0, 7)
  d = turn(a, (d + (c ^ (a & (b ^ c))) + x9 + 0x8b44f7af) | 0, 12)
  c = turn(d, (c + (b ^ (d & (a ^ b))) + x10 + 0xffff5bb1) | 0, 17)
  b = turn(c, (b + (a ^ (c & (d ^ a))) + x11 + 0x895cd7be) | 0, 22)
  a = turn(b, (a + (d ^ (b & (c ^ d))) + x12 + 0x6b901122) | 0, 7)
  d = turn(a, (d + (c ^ (a & (b ^ c))) + x13 + 0xfd987193) | 0, 12)
  c = turn(d, (c + (b ^ (d & (a ^ b))) + x14 + 0xa679438e) | 0, 17)
  b = turn(c, (b + (a ^ (c & (d ^ a))) + x15 + 0x49b40821) | 0, 22)

  // G: bits of x where z is set, of y elsewhere.
  a = turn(b, (a + (c ^ (d & (b ^ c))) + x1 + 0xf61e2562) | 0, 5)
  d = turn(a, (d + (b ^ (c & (a ^ b))) + x6 + 0xc040b340) | 0, 9)
  c = turn(d, (c + (a ^ (b & (d ^ a))) + x11 + 0x265e5a51) | 0, 14)
  b = turn(c, (b + (d ^ (a & (c ^ d))) + x0 + 0xe9b6c7aa) | 0, 20)
  a = turn(b, (a + (c ^ (d & (b ^ c))) + x5 + 0xd62f105d) | 0, 5)
  d = turn(a, (d + (b ^ (c & (a ^ b))) + x10 + 0x02441453) | 0, 9)
  c = turn(d, (c + (a ^ (b & (d ^ a))) + x15 + 0xd8a1e681) | 0, 14)
  b = turn(c, (b + (d ^ (a & (c ^ d))) + x4 + 0xe7d3fbc8) | 0, 20)
  a = turn(b, (a + (c ^ (d & (b ^ c))) + x9 + 0x21e1cde6) | 0, 5)
  d = turn(a, (d + (b ^ (c & (a ^ b))) + x14 + 0xc33707d6) | 0, 9)
  c = turn(d, (c + (a ^ (b & (d ^ a))) + x3 + 0xf4d50d87) | 0, 14)
  b = turn(c, (b + (d ^ (a & (c ^ d))) + x8 + 0x455a14ed) | 0, 20)
  a = turn(b, (a + (c ^ (d & (b ^ c))) + x13 + 0xa9e3e905) | 0, 5)
  d = turn(a, (d + (b ^ (c & (a ^ b))) + x2 + 0xfcefa3f8) | 0, 9)
  c = turn(d, (c + (a ^ (b & (d ^ a))) + x7 + 0x676f02d9) | 0, 14)
  b = turn(c, (b + (d ^ (a & (c ^ d))) + x12 + 0x8d2a4c8a) | 0, 20)

  // H: x ^ y ^ z.
  a = turn(b, (a + (b ^ c ^ d) + x5 + 0xfffa3942) | 0, 4)
  d = turn(a, (d + (a ^ b ^ c) + x8 + 0x8771f681) | 0, 11)
  c = turn(d, (c + (d ^ a ^ b) + x11 + 0x6d9d6122) | 0, 16)
  b = turn(c, (b + (c ^ d ^ a) + x14 + 0xfde5380c) | 0, 23)
  a = turn(b, (a + (b ^ c ^ d) + x1 + 0xa4beea44) | 0, 4)
  d = turn(a, (d + (a ^ b ^ c) + x4 + 0x4bdecfa9) | 0, 11)
  c = turn(d, (c + (d ^ a ^ b) + x7 + 0xf6bb4b60) | 0, 16)
  b = turn(c, (b + (c ^ d ^ a) + x10 + 0xbebfbc70) | 0, 23)
  a = turn(b, (a + (b ^ c ^ d) + x13 + 0x289b7ec6) | 0, 4)
  d = turn(a, (d + (a ^ b ^ c) + x0 + 0xeaa127fa) | 0, 11)
  c = turn(d, (c + (d ^ a ^ b) + x3 + 0xd4ef3085) | 0, 16)
  b = turn(c, (b + (c ^ d ^ a) + x6 + 0x04881d05) | 0, 23)
  a = turn(b, (a + (b ^ c ^ d) + x9 + 0xd9d4d039) | 0, 4)
  d = turn(a, (d + (a ^ b ^ c) + x12 + 0xe6db99e5) | 0, 11)
  c = turn(d, (c + (d ^ a ^ b) + x15 + 0x1fa27cf8) | 0, 16)
  b = turn(c, (b + (c ^ d ^ a) + x2 + 0xc4ac5665) | 0, 23)

  // I: y ^ (x | ~z).
  a = turn(b, (a + (c ^ (b | ~d)) + x0 + 0xf4292244) | 0, 6)
  d = turn(a, (d + (b ^ (a | ~c)) + x7 + 0x432aff97) | 0, 10)
  c = turn(d, (c + (a ^ (d | ~b)) + x14 + 0xab9423a7) | 0, 15)
  b = turn(c, (b + (d ^ (c | ~a)) + x5 + 0xfc93a039) | 0, 21)
  a = turn(b, (a + (c ^ (b | ~d)) + x12 + 0x655b59c3) | 0, 6)
  d = turn(a, (d + (b ^ (a | ~c)) + x3 + 0x8f0ccc92) | 0, 10)
  c = turn(d, (c + (a ^ (d | ~b)) + x10 + 0xffeff47d) | 0, 15)
  b = turn(c, (b + (d ^ (c | ~a)) + x1 + 0x85845dd1) | 0, 21)
  a = turn(b, (a + (c ^ (b | ~d)) + x8 + 0x6fa87e4f) | 0, 6)
  d = turn(a, (d + (b ^ (a | ~c)) + x15 + 0xfe2ce6e0) | 0, 10)
  c = turn(d, (c + (a ^ (d | ~b)) + x6 + 0xa3014314) | 0, 15)
  b = turn(c, (b + (d ^ (c | ~a)) + x13 + 0x4e0811a1) | 0, 21)
  a = turn(b, (a + (c ^ (b | ~d)) + x4 + 0xf7537e82) | 0, 6)
  d = turn(a, (d + (b ^ (a | ~c)) + x11 + 0xbd3af235) | 0, 10)
  c = turn(d, (c + (a ^ (d | ~b)) + x2 + 0x2ad7d2bb) | 0, 15)
  b = turn(c, (b + (d ^ (c | ~a)) + x9 + 0xeb86d391) | 0, 21)

  out[0] = (out[0] as number) + a
  out[1] = (out[1] as number) + b
  out[2] = (out[2] as number) + c
  out[3] = (out[3] as number) + d
}

function turn(b: number, sum: number, by: number): number {
  return (b + ((sum << by) | (sum >>> (32 - by)))) | 0
}
