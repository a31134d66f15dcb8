import { type Cache, CacheError, type Consistency } from '@stowage/core'
import { toFields } from '../data/session-text.ts'
import { isSessionKey } from '../keys/session-key.ts'
import type { SessionUsers } from '../users/session-users.ts'
import type { SessionReader } from './session-reader.ts'

const pageSize = 500

/** A session in a list. */
export interface ListedSession<T> {
  /** Its key: a digest of its id, which `destroy` accepts as well. It does not reveal the id. */
  readonly key: string
  readonly session: T
}

export interface ListerContext {
  readonly cache: Cache
  readonly consistency: Consistency
  readonly reader: SessionReader
  /** Whether keys of sessions may lead to nothing or to another key: after a rotation, or the end of a moved session. */
  readonly hasOtherItems: boolean
}

/** Lists sessions: all, where the backend can list its keys, or those of a user. */
export class SessionLister<T extends object> {
  readonly #context: ListerContext

  constructor(context: ListerContext) {
    this.#context = context
  }

  async of(user: string | number, users: SessionUsers): Promise<ListedSession<T>[]> {
    const { entries } = await users.index.read(user)
    const listed = await this.#read(Object.keys(entries))
    const isOwn = (session: T) => String(users.userOf(session)) === String(user)
    return listed
      .filter(({ key, created, session }) => created === entries[key]?.[0] && isOwn(session))
      .map(({ key, session }) => ({ key, session }))
  }

  async keys(): Promise<string[]> {
    const keys = await this.#storedKeys()
    if (!this.#context.hasOtherItems) return keys
    const listed = await this.#read(keys)
    return listed.map(({ key }) => key)
  }

  /** The keys that may be those of sessions. */
  async #storedKeys(): Promise<string[]> {
    // A scan may return a key more than once.
    const keys = new Set<string>()
    try {
      for await (const key of this.#context.cache.keys()) if (isSessionKey(key)) keys.add(key)
    } catch (error) {
      throw CacheError.is(error) && error.code === 'ERR_CACHE_UNSUPPORTED'
        ? cannotList(error)
        : error
    }
    return [...keys]
  }

  async all(): Promise<ListedSession<T>[]> {
    const listed = await this.#read(await this.#storedKeys())
    return listed.map(({ key, session }) => ({ key, session }))
  }

  async #read(keys: readonly string[]): Promise<(ListedSession<T> & { created: number })[]> {
    const { cache, reader, consistency } = this.#context
    const listed: (ListedSession<T> & { created: number })[] = []
    for (let start = 0; start < keys.length; start += pageSize) {
      const page = keys.slice(start, start + pageSize)
      const values = await cache.getMany(page, { consistency })
      for (const [index, key] of page.entries()) {
        const { session } = reader.parse(values[index]) ?? {}
        if (session === undefined) continue
        listed.push({ key, session: toFields(session.text) as T, created: session.created })
      }
    }
    return listed
  }
}

function cannotList(cause: CacheError): CacheError {
  return new CacheError(
    'ERR_CACHE_UNSUPPORTED',
    `Sessions on ${cause.store} cannot be listed or counted, because the backend cannot list its keys. Use another driver ` +
      'for that.',
    { store: cause.store, operation: 'keys', cause },
  )
}
