import { Cache, CacheError, type Consistency } from '@stowage/core'
import { type RedisOptions, redis } from '@stowage/redis'
import { traceRead } from './traced-read.ts'

export interface Note {
  readonly text: string
  /** When the note was written. Epoch milliseconds. */
  readonly writtenAt: number
}

/** The result of one read of the note. */
export interface NoteRead {
  readonly process: 'A' | 'B' | 'C'
  readonly consistency: Consistency
  readonly note: Note | undefined
  /** `host:port` of the server that returned the note. */
  readonly address: string | undefined
  /** The error message, if the read failed. */
  readonly failure: string | undefined
}

const prefix = 'replicas-demo:'
const name = 'note'
const ttl = '1h'

/** The key of the note in Redis. */
export const noteKey: string = prefix + name

/**
 * A note that process A writes and processes A, B and C read. All three are simulated in this process: each has its
 * own store with its own connections, so they share no state, as if they ran on three machines.
 */
export class SharedNote {
  /** Writes the note. */
  readonly #a: Cache
  /** Receives the token of the write. */
  readonly #b: Cache
  /** Receives no token. */
  readonly #c: Cache

  constructor(options: RedisOptions) {
    const createCache = () => new Cache(redis(options), { prefix, ttl })
    this.#a = createCache()
    this.#b = createCache()
    this.#c = createCache()
  }

  /** Writes the note if there is none, and connects the stores. */
  async prepare(text: string): Promise<void> {
    await this.#a.add(name, { text, writtenAt: Date.now() } satisfies Note)
    await Promise.all([this.#a, this.#b, this.#c].map((cache) => cache.get(name)))
  }

  /** Writes in process A. Resolves to the consistency token of the write. */
  async write(text: string): Promise<string> {
    await this.#a.set(name, { text, writtenAt: Date.now() } satisfies Note)
    return this.#a.consistencyToken()
  }

  /** Reads in all processes. B observes the token first, if there is one. */
  async read(token: string | undefined): Promise<NoteRead[]> {
    if (token !== undefined) this.#b.observe(token)
    return Promise.all([
      read('A', this.#a, 'eventual'),
      read('A', this.#a, 'session'),
      read('A', this.#a, 'strong'),
      read('B', this.#b, 'session'),
      read('C', this.#c, 'session'),
    ])
  }

  async close(): Promise<void> {
    await Promise.all([this.#a.close(), this.#b.close(), this.#c.close()])
  }
}

async function read(
  process: NoteRead['process'],
  cache: Cache,
  consistency: Consistency,
): Promise<NoteRead> {
  try {
    const { value: note, address } = await traceRead(() => cache.get<Note>(name, { consistency }))
    return { process, consistency, note, address, failure: undefined }
  } catch (error) {
    if (!CacheError.is(error)) throw error
    return { process, consistency, note: undefined, address: undefined, failure: error.message }
  }
}
