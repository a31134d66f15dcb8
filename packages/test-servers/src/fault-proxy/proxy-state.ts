/** From the client to the server, or back. */
export type Direction = 'requests' | 'replies'

/** The active faults and the counters of a proxy, which all its connections share. */
export class ProxyState {
  readonly delayMs: Record<Direction, number> = { requests: 0, replies: 0 }
  readonly muted: Record<Direction, boolean> = { requests: false, replies: false }
  readonly bytes: Record<Direction, number> = { requests: 0, replies: 0 }
  readonly chunks: Record<Direction, number> = { requests: 0, replies: 0 }
  #replyCut: { bytesLeft: number; done: () => void } | undefined

  /** Lets `after` more bytes of replies through, then truncates the next chunk and calls `done`. */
  cutReplies(after: number, done: () => void): void {
    this.#replyCut = { bytesLeft: after, done }
  }

  /**
   * Counts a chunk that is about to be delivered, and returns the part of it to deliver. If that is shorter than the
   * chunk, the connection has to end after it.
   */
  admit(direction: Direction, chunk: Buffer): Buffer {
    const cut = direction === 'replies' ? this.#replyCut : undefined
    const admitted = cut === undefined ? chunk : chunk.subarray(0, cut.bytesLeft)
    this.bytes[direction] += admitted.length
    if (admitted.length > 0) this.chunks[direction]++
    if (admitted.length < chunk.length) this.#endReplyCut()
    else if (cut !== undefined) cut.bytesLeft -= admitted.length
    return admitted
  }

  #endReplyCut(): void {
    this.#replyCut?.done()
    this.#replyCut = undefined
  }
}
