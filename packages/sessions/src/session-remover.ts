import { CacheError } from '@stowage/core'
import { conflict, retryOnConflict } from '@stowage/core/driver'
import { publishSession } from './channels.ts'
import { longestRequestMs, parseItem, rotatedTo, tombstone } from './data/session-item.ts'
import { isSessionKey, keyOfId } from './data/session-key.ts'
import type { SessionReader } from './reading/session-reader.ts'
import type { SessionContext } from './session-context.ts'
import type { SeenSession } from './users/session-users.ts'
import { firstKeyOf, type KeptSession, type UserIndex } from './users/user-index.ts'

const keysPerCall = 1_000

/** Ends sessions: also what an old id leads to, where they are moved from, and their entries in the lists of users. */
export class SessionRemover {
  readonly #context: SessionContext
  readonly #reader: SessionReader

  constructor(context: SessionContext, reader: SessionReader) {
    this.#context = context
    this.#reader = reader
  }

  /**
   * Ends a session, given its id or its key in place of the id.
   *
   * @param seen the session when it was read. It ends also if what leads from the id to its key is lost
   */
  async remove(key: string, id: string, seen?: SeenSession): Promise<void> {
    const { users, anonymous } = this.#context
    anonymous?.remove(key)
    const user = (await this.#userOfKey(key, id)) ?? (seen && users?.userOfText(seen.stored.text))
    const keys = [key]
    let isFound = await this.#delete(keys, id)
    if (!isFound && seen !== undefined && seen.key !== key) {
      keys.push(seen.key)
      isFound = await this.#deleteMoved(seen.key, keys)
    }
    if (user === undefined || users === undefined) return
    // It may have got another id since, and only the list of its user tells which one.
    const lostKey = isFound || seen === undefined ? undefined : firstKeyOfSeen(seen)
    const isEnded = (each: string) => keys.includes(each)
    const removed = await users.index.remove(
      user,
      (each, firstKey) => !isEnded(each) && firstKey !== lostKey,
    )
    const others = removed.filter((each) => !isEnded(each))
    await Promise.all(others.map((each) => this.#deleteSession(each)))
  }

  /** Ends all sessions. */
  async removeAll(): Promise<void> {
    const { cache, users, rotates } = this.#context
    let isOldCleared = false
    try {
      // First, so that no session is moved meanwhile into what has been cleared.
      await this.#reader.old.clear()
      isOldCleared = true
    } finally {
      const areDeleted = users !== undefined && (await this.#deleteSessions())
      // Otherwise, the lists still say which of the sessions have ended that could not be deleted.
      if (isOldCleared || !areDeleted) await cache.clear()
      if (rotates) await this.#deleteRotated()
    }
  }

  /**
   * Deletes all sessions, and not the lists of their users, which say that sessions have ended. Resolves to `false` on a backend
   * that cannot list its keys: it ends both at once.
   */
  async #deleteSessions(): Promise<boolean> {
    const { cache } = this.#context
    const keys: string[] = []
    try {
      for await (const key of cache.keys()) {
        if (isSessionKey(key)) keys.push(key)
        if (keys.length === keysPerCall) await cache.deleteMany(keys.splice(0))
      }
    } catch (error) {
      if (!isUnsupported(error)) throw error
      return false
    }
    await cache.deleteMany(keys)
    return true
  }

  /**
   * Deletes the sessions that have got other ids while all were deleted: a list of keys need not contain what was added since it
   * began. None of them is new.
   */
  async #deleteRotated(): Promise<void> {
    const { cache } = this.#context
    const rotated: string[] = []
    do {
      rotated.length = 0
      for await (const key of this.#storedKeys()) {
        const { value, jsonText } = await cache.snapshot(key)
        if (parseItem(value, jsonText)?.session.firstKey !== undefined) rotated.push(key)
      }
      await cache.deleteMany(rotated)
    } while (rotated.length > 0)
  }

  /** The keys of sessions. Lists none on a backend that cannot list its keys. */
  async *#storedKeys(): AsyncGenerator<string> {
    try {
      for await (const key of this.#context.cache.keys()) if (isSessionKey(key)) yield key
    } catch (error) {
      if (!isUnsupported(error)) throw error
    }
  }

  /** Ends all sessions of a user, except the one with the id `except`. */
  async removeAllOf(user: string | number, index: UserIndex, except?: string): Promise<void> {
    const { cache, rotates } = this.#context
    const kept = except === undefined ? undefined : await this.#sessionToKeep(except)
    const removed = await index.removeAll(user, kept, this.#reader.old.until)
    if (rotates) await Promise.all(removed.map((key) => this.#deleteSession(key)))
    else if (removed.length > 0) await cache.deleteMany(removed)
    for (const key of removed) publishSession('destroyed', cache.name, key)
  }

  /** Adds the other keys of the session to `keys`. Resolves to whether it may have existed. */
  async #delete(keys: string[], id: string): Promise<boolean> {
    const { cache, rotates } = this.#context
    const { old } = this.#reader
    const [key] = keys as [string]
    const isFound = rotates ? await this.#deleteMoved(key, keys) : true
    if (old.has(id)) {
      // A request that has read it where it was before must not move it now.
      await cache.set(key, tombstone, { ttl: longestRequestMs })
      await old.delete(id)
    } else if (!rotates) await cache.delete(key)
    return isFound
  }

  /**
   * Deletes what a key leads to, and then the key itself, so that no rotation comes in between. Adds the keys on the way to
   * `keys`, and resolves to whether a session was at their end.
   *
   * @param passed the keys that have led to this one. Damaged items may lead to each other
   */
  #deleteMoved(key: string, keys: string[], passed: readonly string[] = []): Promise<boolean> {
    const { clock, driver: store } = this.#context.cache
    const path = [...passed, key]
    return retryOnConflict({ operation: 'destroy', store, key }, clock, async () => {
      const snapshot = await this.#context.cache.snapshot(key)
      const found = rotatedTo(snapshot.value)
      const next = found !== undefined && path.includes(found) ? undefined : found
      if (next !== undefined) keys.push(next)
      const isFound = next === undefined || (await this.#deleteMoved(next, keys, path))
      if (snapshot.value === undefined) return false
      return (await snapshot.delete()) ? isFound : conflict
    })
  }

  /** The user whose list has to be changed when the session ends. */
  async #userOfKey(key: string, id: string): Promise<string | number | undefined> {
    if (this.#context.users === undefined) return undefined
    const known = this.#context.users.forget(key)
    if (known !== undefined) return known
    const found = await this.#reader.readToWrite(key, id)
    return found && this.#context.users.userOf(found.fields)
  }

  /** Deletes a session that has ended, but not what leads to another one: that may have been spared. */
  #deleteSession(key: string): Promise<void> {
    const { cache } = this.#context
    const at = { operation: 'destroy', store: cache.driver, key }
    return retryOnConflict(at, cache.clock, async () => {
      const snapshot = await cache.snapshot(key)
      if (rotatedTo(snapshot.value) !== undefined) return undefined
      return (await snapshot.delete()) ? undefined : conflict
    })
  }

  /** A session that does not exist may be about to be stored, and listed already. */
  async #sessionToKeep(id: string): Promise<KeptSession> {
    const found = await this.#reader.readToWrite(keyOfId(id), id)
    const key = found?.key ?? keyOfId(id)
    return { key, created: found?.stored.created, firstKey: found ? firstKeyOfSeen(found) : key }
  }
}

function isUnsupported(error: unknown): boolean {
  return CacheError.is(error) && error.code === 'ERR_CACHE_UNSUPPORTED'
}

function firstKeyOfSeen({ key, index }: SeenSession): string {
  return index === undefined ? key : firstKeyOf(index, key)
}
