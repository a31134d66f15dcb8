import { Cache, CacheError, type Consistency } from '@stowage/core'
import { type RedisOptions, redis } from '@stowage/redis'
import { answeredBy } from './answered-by.ts'

export interface Note {
  readonly text: string
  /** When it was written, in milliseconds since 1970. */
  readonly at: number
}

/** One read of the note. */
export interface Reading {
  readonly process: 'A' | 'B' | 'C'
  readonly consistency: Consistency
  readonly note: Note | undefined
  /** `host:port` of the server that answered. */
  readonly address: string | undefined
  /** Instead of a note: what the store said. */
  readonly failure: string | undefined
}

const prefix = 'replicas-demo:'
const name = 'note'
const ttl = '1h'

/** Where the note lies in Redis. */
export const noteKey: string = prefix + name

/**
 * A note that is written by one process and read by three. Each has a store of its own, with connections of its own,
 * and so knows no more of the others than if it ran on another machine.
 */
export class SharedNote {
  /** Writes. */
  readonly #a: Cache
  /** Is given the token of the write. */
  readonly #b: Cache
  /** Is told nothing. */
  readonly #c: Cache

  constructor(options: RedisOptions) {
    const cache = () => new Cache(redis(options), { prefix, ttl })
    this.#a = cache()
    this.#b = cache()
    this.#c = cache()
  }

  /** Sees to it that there is one, and that the stores are connected. */
  async prepare(text: string): Promise<void> {
    await this.#a.add(name, { text, at: Date.now() } satisfies Note)
    await Promise.all([this.#a, this.#b, this.#c].map((cache) => cache.get(name)))
  }

  /** Writes in process A. Resolves with the token that stands for the write. */
  async write(text: string): Promise<string> {
    await this.#a.set(name, { text, at: Date.now() } satisfies Note)
    return this.#a.consistencyToken()
  }

  /** Reads in every process; B is given the token before, if there is one. */
  async read(token: string | undefined): Promise<Reading[]> {
    if (token !== undefined) this.#b.observe(token)
    return Promise.all([
      reading('A', this.#a, 'eventual'),
      reading('A', this.#a, 'session'),
      reading('A', this.#a, 'strong'),
      reading('B', this.#b, 'session'),
      reading('C', this.#c, 'session'),
    ])
  }

  async close(): Promise<void> {
    await Promise.all([this.#a.close(), this.#b.close(), this.#c.close()])
  }
}

async function reading(
  process: Reading['process'],
  cache: Cache,
  consistency: Consistency,
): Promise<Reading> {
  try {
    const read = () => cache.get<Note>(name, { consistency })
    const { value: note, address } = await answeredBy(read)
    return { process, consistency, note, address, failure: undefined }
  } catch (error) {
    if (!CacheError.is(error)) throw error
    return { process, consistency, note: undefined, address: undefined, failure: error.message }
  }
}
