/** The largest reply: the limit of `memcached -I`, a key and a header. A longer one is garbage. */
export const maxReplyBytes: number = 1024 * 1024 * 1024 + 64 * 1024
/** An incomplete reply of this size gets a buffer of its own, of the right size. */
const minReplyBufferBytes = 32 * 1024

/**
 * Joins received data until there is enough of it for the next reply. The data is always copied, once: it is a view of
 * the block that the socket reads into. A small reply is copied together with its neighbours, a large one to a buffer of
 * its own.
 */
export class ReadBuffer {
  /** The beginning of an incomplete reply. */
  #rest: Buffer | undefined
  #neededBytes = 1
  /** A large incomplete reply, of which `#filled` bytes have arrived. */
  #reply: Buffer | undefined
  #filled = 0

  /** Adds received data. Calls `decode` with the data collected so far if it has as many bytes as needed. */
  append(data: Buffer, decode: (bytes: Buffer) => void): void {
    const added = this.#reply === undefined ? data : this.#fill(this.#reply, data, decode)
    if (added.length === 0) return
    const rest = this.#rest
    const bytes = Buffer.allocUnsafeSlow((rest?.length ?? 0) + added.length)
    if (rest !== undefined) bytes.set(rest)
    bytes.set(added, rest?.length ?? 0)
    if (bytes.length < this.#neededBytes) this.#rest = bytes
    else {
      this.#rest = undefined
      this.#neededBytes = 1
      decode(bytes)
    }
  }

  /** Keeps the beginning of an incomplete reply until there are `neededBytes` of it. */
  retain(rest: Buffer, neededBytes: number): void {
    this.#neededBytes = neededBytes
    if (rest.length > 0) this.#rest = rest
    if (neededBytes < minReplyBufferBytes) return
    this.#reply = Buffer.allocUnsafeSlow(neededBytes)
    this.#reply.set(rest)
    this.#filled = rest.length
    this.#rest = undefined
  }

  /** Adds data to a large reply. Returns the data after it. */
  #fill(reply: Buffer, data: Buffer, decode: (bytes: Buffer) => void): Buffer {
    const bytes = Math.min(reply.length - this.#filled, data.length)
    reply.set(bytes === data.length ? data : data.subarray(0, bytes), this.#filled)
    this.#filled += bytes
    if (this.#filled === reply.length) {
      this.#reply = undefined
      this.#neededBytes = 1
      decode(reply)
    }
    return data.subarray(bytes)
  }
}
