import { hash } from 'node:crypto'

/** Bytes in a block of SHA-256. */
const blockBytes = 64

/**
 * Creates a function that returns the HMAC-SHA256 of a text, in base64 without padding, as of RFC 2104. It takes half as
 * long as `createHmac`, which creates an object that the garbage collector has to finalize.
 */
export function createHmacSha256(secret: string | Uint8Array): (text: string) => string {
  const key = Buffer.alloc(blockBytes)
  const bytes = typeof secret === 'string' ? Buffer.from(secret) : secret
  const isLong = bytes.length > blockBytes
  key.set(isLong ? Buffer.from(hash('sha256', bytes, 'hex'), 'hex') : bytes)
  const inner = key.map((byte) => byte ^ 0x36)
  const outer = key.map((byte) => byte ^ 0x5c)
  return (text) => {
    const digest = hash('sha256', Buffer.concat([inner, Buffer.from(text)]), 'hex')
    const signature = hash('sha256', Buffer.concat([outer, Buffer.from(digest, 'hex')]), 'base64')
    return signature.slice(0, signature.indexOf('='))
  }
}
