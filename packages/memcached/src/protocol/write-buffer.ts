import type { Writable } from 'node:stream'
import type { Payload } from '@stowage/core'
import { toBytes } from '@stowage/core/driver'

const blockBytes = 64 * 1024
/** Payloads from here on are handed to the socket as they are, instead of being copied. */
const byReference = 16 * 1024
/** Up to here a loop is quicker than the call into the runtime. */
const shortText = 48

/**
 * Collects the requests of a tick in one block of memory, so that they leave in one write. What the socket still holds
 * is never written over.
 */
export class Outbox {
  /** Where to write, once `reserve` was called, from `end` on. */
  block: Buffer = Buffer.allocUnsafeSlow(blockBytes)
  /** End of what was written; who writes moves it. */
  end = 0
  #start = 0
  #earlier: Uint8Array[] = []

  get isEmpty(): boolean {
    return this.end === this.#start && this.#earlier.length === 0
  }

  /** Makes room for so many bytes behind `end`. */
  reserve(bytes: number): void {
    if (this.end + bytes <= this.block.length) return
    this.#close()
    this.block = Buffer.allocUnsafeSlow(Math.max(blockBytes, bytes))
    this.end = 0
    this.#start = 0
  }

  /** Adds a payload for which `roomForItem` was reserved, by reference where it is large. Returns its bytes. */
  append(item: Payload): number {
    if (roomForItem(item) === 0) return this.#refer(toBytes(item))
    const bytes = typeof item === 'string' ? writeText(this.block, item, this.end) : item.length
    if (typeof item !== 'string') this.block.set(item, this.end)
    this.end += bytes
    return bytes
  }

  /** Writes everything to the socket, and says when that has it. */
  flush(socket: Writable, written?: () => void): void {
    const last = this.block.subarray(this.#start, this.end)
    if (this.#earlier.length === 0) socket.write(last, written)
    else {
      socket.cork()
      for (const piece of this.#earlier) socket.write(piece)
      socket.write(last, written)
      socket.uncork()
      this.#earlier = []
    }
    // Nothing held by the socket: the system has all of it, and the block can be used again.
    this.#start = socket.writableLength === 0 ? 0 : this.end
    this.end = this.#start
  }

  #refer(bytes: Buffer): number {
    this.#close()
    this.#earlier.push(bytes)
    return bytes.length
  }

  #close(): void {
    if (this.end === this.#start) return
    this.#earlier.push(this.block.subarray(this.#start, this.end))
    this.#start = this.end
  }
}

/** Bytes to reserve for a text: a character has at most three. */
export function roomForText(text: string): number {
  return text.length * 3
}

/** Bytes to reserve for a payload; none where it is added by reference. */
export function roomForItem(item: Payload): number {
  const bytes = typeof item === 'string' ? roomForText(item) : item.length
  return bytes < byReference ? bytes : 0
}

/** Writes text as UTF-8 and returns its bytes. */
export function writeText(block: Buffer, text: string, at: number): number {
  const { length } = text
  if (length > shortText) return block.write(text, at)
  for (let i = 0; i < length; i++) {
    const code = text.charCodeAt(i)
    if (code > 127) return block.write(text, at)
    block[at + i] = code
  }
  return length
}
