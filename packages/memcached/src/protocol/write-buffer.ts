import type { Writable } from 'node:stream'
import type { Payload } from '@stowage/core'
import { toBytes } from '@stowage/core/driver'

const blockBytes = 64 * 1024
/** Payloads of this size and larger are passed to the socket by reference instead of being copied. */
const minReferenceBytes = 16 * 1024
/** The largest amount of data that is passed to the socket at once. */
const portionBytes = 256 * 1024
/** Up to this length a loop is faster than `Buffer.write`, which calls into the runtime. */
const maxLoopLength = 48

/**
 * Collects the requests of one tick in a block of memory, so that they are sent in one write. Memory that the socket
 * still holds is not overwritten.
 */
export class WriteBuffer {
  /** The memory to write to, from `end` on. Call `reserve` first. */
  block: Buffer = Buffer.allocUnsafeSlow(blockBytes)
  /** The end of what was written. The caller moves it after a write. */
  end = 0
  #start = 0
  /** Data before `#start` that was not sent yet, and its size: full blocks and large payloads. */
  #queue: Uint8Array[] = []
  #queuedBytes = 0

  get isEmpty(): boolean {
    return this.end === this.#start && this.#queue.length === 0
  }

  /** Whether there is more data than `flush` writes. */
  get isLarge(): boolean {
    return this.#queuedBytes > portionBytes
  }

  /** Makes room for `bytes` bytes after `end`. */
  reserve(bytes: number): void {
    if (this.end + bytes <= this.block.length) return
    this.#enqueueBlock()
    this.block = Buffer.allocUnsafeSlow(Math.max(blockBytes, bytes))
    this.end = 0
    this.#start = 0
  }

  /** Adds a payload: a small one as a copy, for which `reserve` was called, a large one by reference. Returns its size. */
  append(payload: Payload): number {
    if (roomForPayload(payload) === 0) return this.#appendReference(toBytes(payload))
    const isText = typeof payload === 'string'
    const bytes = isText ? writeText(this.block, payload, this.end) : payload.length
    if (!isText) this.block.set(payload, this.end)
    this.end += bytes
    return bytes
  }

  /** Writes everything to the socket, or a portion of much data. `onWritten` is called when the socket has passed it on. */
  flush(socket: Writable, onWritten?: () => void): void {
    if (this.isLarge) {
      writeAll(socket, this.#takePortion(), onWritten)
      return
    }
    const last = this.block.subarray(this.#start, this.end)
    if (this.#queue.length === 0) socket.write(last, onWritten)
    else {
      writeAll(socket, [...this.#queue, last], onWritten)
      this.#queue = []
      this.#queuedBytes = 0
    }
    // The block is reused from its beginning if the socket has passed on all of it.
    this.#start = socket.writableLength === 0 ? 0 : this.end
    this.end = this.#start
  }

  #takePortion(): Uint8Array[] {
    let bytes = 0
    let count = 0
    while (bytes < portionBytes) bytes += (this.#queue[count++] as Uint8Array).length
    const portion = this.#queue.splice(0, count)
    const last = portion.pop() as Uint8Array
    const lastBytes = last.length - (bytes - portionBytes)
    if (lastBytes < last.length) this.#queue.unshift(last.subarray(lastBytes))
    this.#queuedBytes -= portionBytes
    return [...portion, last.subarray(0, lastBytes)]
  }

  #appendReference(bytes: Buffer): number {
    this.#enqueueBlock()
    this.#enqueue(bytes)
    return bytes.length
  }

  #enqueueBlock(): void {
    if (this.end === this.#start) return
    this.#enqueue(this.block.subarray(this.#start, this.end))
    this.#start = this.end
  }

  #enqueue(data: Uint8Array): void {
    this.#queue.push(data)
    this.#queuedBytes += data.length
  }
}

function writeAll(
  socket: Writable,
  pieces: readonly Uint8Array[],
  onWritten: (() => void) | undefined,
): void {
  socket.cork()
  for (const piece of pieces.slice(0, -1)) socket.write(piece)
  socket.write(pieces.at(-1), onWritten)
  socket.uncork()
}

/** Bytes to reserve for a text: a UTF-16 code unit takes at most three bytes in UTF-8. */
export function roomForText(text: string): number {
  return text.length * 3
}

/** Bytes to reserve for a payload; 0 if it is added by reference. */
export function roomForPayload(payload: Payload): number {
  const bytes = typeof payload === 'string' ? roomForText(payload) : payload.length
  return bytes < minReferenceBytes ? bytes : 0
}

/** Writes text as UTF-8 and returns the number of bytes. */
export function writeText(block: Buffer, text: string, at: number): number {
  const { length } = text
  if (length > maxLoopLength) return block.write(text, at)
  for (let i = 0; i < length; i++) {
    const code = text.charCodeAt(i)
    if (code > 127) return block.write(text, at)
    block[at + i] = code
  }
  return length
}
