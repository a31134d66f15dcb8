import type { Socket } from 'node:net'
import type { Direction, ProxyState } from './proxy-state.ts'

/** Above this number of held bytes, a relay stops reading from its source. */
const maxHeldBytes = 1024 * 1024

interface RelayOptions {
  readonly source: Socket
  readonly sink: Socket
  readonly direction: Direction
  readonly state: ProxyState
  /** Called instead of a write when a chunk was truncated, with the part that is to be delivered. */
  readonly onTruncated: (admitted: Buffer) => void
}

interface QueuedChunk {
  /** `undefined` is the end of the stream. */
  readonly chunk: Buffer | undefined
  readonly receivedAt: number
}

/** Relays one direction of one connection. The queue keeps the bytes in order while the delay changes. */
export class Relay {
  readonly #options: RelayOptions
  #queue: QueuedChunk[] = []
  #heldBytes = 0
  #timer: NodeJS.Timeout | undefined

  constructor(options: RelayOptions) {
    const { source, sink } = options
    this.#options = options
    source.on('data', (chunk: Buffer) => this.#enqueue(chunk))
    source.on('end', () => this.#enqueue(undefined))
    sink.on('drain', () => this.flush())
    sink.on('close', () => this.#discard())
  }

  /** Delivers the chunks whose delay has passed. */
  flush(): void {
    const { state, direction } = this.#options
    clearTimeout(this.#timer)
    for (let next = this.#queue[0]; next && this.#canDeliver(); next = this.#queue[0]) {
      const waitMs = next.receivedAt + state.delayMs[direction] - performance.now()
      if (waitMs > 0) {
        this.#timer = setTimeout(() => this.flush(), Math.ceil(waitMs))
        return
      }
      this.#queue.shift()
      this.#deliver(next.chunk)
    }
  }

  #canDeliver(): boolean {
    const { sink, state, direction } = this.#options
    return sink.writable && !sink.writableNeedDrain && !state.muted[direction]
  }

  #enqueue(chunk: Buffer | undefined): void {
    this.#queue.push({ chunk, receivedAt: performance.now() })
    this.#heldBytes += chunk?.length ?? 0
    if (this.#heldBytes >= maxHeldBytes) this.#options.source.pause()
    this.flush()
  }

  #deliver(chunk: Buffer | undefined): void {
    const { source, sink, state, direction, onTruncated } = this.#options
    if (chunk === undefined) {
      sink.end()
      return
    }
    this.#heldBytes -= chunk.length
    if (source.isPaused() && this.#heldBytes < maxHeldBytes / 2) source.resume()
    const admitted = state.admit(direction, chunk)
    if (admitted.length < chunk.length) onTruncated(admitted)
    else sink.write(chunk)
  }

  #discard(): void {
    clearTimeout(this.#timer)
    this.#queue = []
  }
}
