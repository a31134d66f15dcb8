import { CacheError } from '@stowage/core'
import { toFields } from '../data/session-item.ts'
import { isSessionKey } from '../data/session-key.ts'
import type { SessionContext } from '../session-context.ts'
import type { FoundSession, SessionUsers } from '../users/session-users.ts'
import type { SessionReader } from './session-reader.ts'

const pageSize = 500

/** A session in a list. */
export interface ListedSession<T> {
  /** Its key: a digest of its id, which `destroy` accepts as well. It does not reveal the id. */
  readonly key: string
  readonly session: T
}

/** Lists sessions: all, where the backend can list its keys, or those of a user. */
export class SessionLister<T extends object> {
  readonly #context: SessionContext
  readonly #reader: SessionReader

  constructor(context: SessionContext, reader: SessionReader) {
    this.#context = context
    this.#reader = reader
  }

  async of(user: string | number, users: SessionUsers): Promise<ListedSession<T>[]> {
    const { entries } = await users.index.read(user)
    const found = await this.#read(Object.keys(entries))
    const isOwn = (session: T) => String(users.userOf(session)) === String(user)
    return found
      .filter(({ key, stored, session }) => stored.created === entries[key]?.[0] && isOwn(session))
      .map(toListed)
  }

  async keys(): Promise<string[]> {
    const keys = await this.#storedKeys()
    if (!this.#hasOtherItems) return keys
    const found = await this.#readExisting(keys)
    return found.map(({ key }) => key)
  }

  /**
   * Whether keys of sessions may lead to nothing, to another key or to a session that has ended: after a rotation, or the end of
   * a moved session or of all sessions of a user.
   */
  get #hasOtherItems(): boolean {
    const { rotates, migrateFrom, users } = this.#context
    return rotates || migrateFrom !== undefined || users !== undefined
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
    const found = await this.#readExisting(await this.#storedKeys())
    return found.map(toListed)
  }

  /** Leaves out sessions that have ended with all of their user, or that its list does not contain any more. */
  async #readExisting(keys: readonly string[]): Promise<FoundSession<T>[]> {
    const { users } = this.#context
    const found = await this.#read(keys)
    return users === undefined ? found : users.existing(found)
  }

  async #read(keys: readonly string[]): Promise<FoundSession<T>[]> {
    const { cache, consistency } = this.#context
    const found: FoundSession<T>[] = []
    for (let start = 0; start < keys.length; start += pageSize) {
      const page = keys.slice(start, start + pageSize)
      const values = await cache.getMany(page, { consistency })
      for (const [index, key] of page.entries()) {
        const stored = this.#reader.parse(values[index])?.session
        if (stored === undefined) continue
        found.push({ key, session: toFields(stored.text) as T, stored })
      }
    }
    return found
  }
}

function toListed<T extends object>({ key, session }: FoundSession<T>): ListedSession<T> {
  return { key, session }
}

function cannotList(cause: CacheError): CacheError {
  return new CacheError(
    'ERR_CACHE_UNSUPPORTED',
    `Sessions on ${cause.store} cannot be listed or counted, because the backend cannot list its keys. Use another driver ` +
      'for that.',
    { store: cause.store, operation: 'keys', cause },
  )
}
