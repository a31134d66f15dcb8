import { keyBytes, keyView, readKey } from './key-bytes.ts'

/** RFC 1321, 3.4: the integer part of 2^32 × |sin(i)|. */
const sines = Int32Array.from({ length: 64 }, (_, i) => Math.abs(Math.sin(i + 1)) * 2 ** 32)
const words = new Int32Array(16)
const state = new Int32Array(4)

/**
 * The MD5 digest of the UTF-8 bytes of a text (RFC 1321), as four words; valid until the next call. Written out here
 * because it runs for every command: a call of node:crypto allocates, and takes four times as long for a short key.
 */
export function md5(text: string): Int32Array {
  const end = pad(readKey(text))
  state[0] = 0x67452301
  state[1] = 0xefcdab89
  state[2] = 0x98badcfe
  state[3] = 0x10325476
  for (let at = 0; at < end; at += 64) {
    for (let i = 0; i < 16; i++) words[i] = keyView.getInt32(at + i * 4, true)
    mix(words, sines, state)
  }
  return state
}

/** Appends a one bit, zeros, and the length in bits; returns where the last block ends. */
function pad(length: number): number {
  const end = (length + 72) & ~63
  keyBytes[length] = 0x80
  for (let i = length + 1; i < end; i++) keyBytes[i] = 0
  keyView.setUint32(end - 8, length << 3, true)
  return end
}

function mix(x: Int32Array, t: Int32Array, out: Int32Array): void {
  let a = out[0] as number
  let b = out[1] as number
  let c = out[2] as number
  let d = out[3] as number
  for (let i = 0; i < 16; i += 4) {
    a = turn(a, b, (b & c) | (~b & d), x[i] as number, t[i] as number, 7)
    d = turn(d, a, (a & b) | (~a & c), x[i + 1] as number, t[i + 1] as number, 12)
    c = turn(c, d, (d & a) | (~d & b), x[i + 2] as number, t[i + 2] as number, 17)
    b = turn(b, c, (c & d) | (~c & a), x[i + 3] as number, t[i + 3] as number, 22)
  }
  for (let i = 0; i < 16; i += 4) {
    const k = 5 * i + 1
    a = turn(a, b, (b & d) | (c & ~d), x[k & 15] as number, t[i + 16] as number, 5)
    d = turn(d, a, (a & c) | (b & ~c), x[(k + 5) & 15] as number, t[i + 17] as number, 9)
    c = turn(c, d, (d & b) | (a & ~b), x[(k + 10) & 15] as number, t[i + 18] as number, 14)
    b = turn(b, c, (c & a) | (d & ~a), x[(k + 15) & 15] as number, t[i + 19] as number, 20)
  }
  for (let i = 0; i < 16; i += 4) {
    const k = 3 * i + 5
    a = turn(a, b, b ^ c ^ d, x[k & 15] as number, t[i + 32] as number, 4)
    d = turn(d, a, a ^ b ^ c, x[(k + 3) & 15] as number, t[i + 33] as number, 11)
    c = turn(c, d, d ^ a ^ b, x[(k + 6) & 15] as number, t[i + 34] as number, 16)
    b = turn(b, c, c ^ d ^ a, x[(k + 9) & 15] as number, t[i + 35] as number, 23)
  }
  for (let i = 0; i < 16; i += 4) {
    const k = 7 * i
    a = turn(a, b, c ^ (b | ~d), x[k & 15] as number, t[i + 48] as number, 6)
    d = turn(d, a, b ^ (a | ~c), x[(k + 7) & 15] as number, t[i + 49] as number, 10)
    c = turn(c, d, a ^ (d | ~b), x[(k + 14) & 15] as number, t[i + 50] as number, 15)
    b = turn(b, c, d ^ (c | ~a), x[(k + 21) & 15] as number, t[i + 51] as number, 21)
  }
  out[0] = (out[0] as number) + a
  out[1] = (out[1] as number) + b
  out[2] = (out[2] as number) + c
  out[3] = (out[3] as number) + d
}

function turn(a: number, b: number, f: number, x: number, t: number, by: number): number {
  const sum = (a + f + x + t) | 0
  return (b + ((sum << by) | (sum >>> (32 - by)))) | 0
}
