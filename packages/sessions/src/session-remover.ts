import type { Cache } from '@stowage/core'
import { conflict, retryOnConflict } from '@stowage/core/driver'
import { longestRequestMs, movedTo, tombstone } from './data/session-item.ts'
import { keyOf } from './keys/session-key.ts'
import type { SessionReader } from './reading/session-reader.ts'
import type { AnonymousSessions } from './users/anonymous-sessions.ts'
import type { SessionUsers } from './users/session-users.ts'
import type { UserIndex } from './users/user-index.ts'

export interface RemoverContext {
  readonly cache: Cache
  readonly reader: SessionReader
  readonly users: SessionUsers | undefined
  readonly anonymous: AnonymousSessions | undefined
  /** Whether sessions may get other ids. */
  readonly rotates: boolean
}

/** Ends sessions: also what an old id leads to, where they are moved from, and their entries in the lists of users. */
export class SessionRemover {
  readonly #context: RemoverContext

  constructor(context: RemoverContext) {
    this.#context = context
  }

  /** Ends a session, given its id or its key in place of the id. */
  async remove(key: string, id: string): Promise<void> {
    const { users, anonymous } = this.#context
    anonymous?.remove(key)
    const user = await this.#userOfKey(key, id)
    const deleted = await this.#delete(key, id)
    if (user !== undefined) await users?.index.remove(user, (each) => !deleted.includes(each))
  }

  /** Ends all sessions of a user, except the one with the id `except`. */
  async removeAllOf(user: string | number, index: UserIndex, except?: string): Promise<void> {
    const { cache, reader, rotates } = this.#context
    const kept = except === undefined ? undefined : await this.#currentKeyOf(keyOf(except))
    const removed = await index.removeAll(user, kept, reader.oldUntil)
    if (rotates) await Promise.all(removed.map((key) => this.#deleteSession(key)))
    else if (removed.length > 0) await cache.deleteMany(removed)
  }

  /** Resolves to the keys that the session had. */
  async #delete(key: string, id: string): Promise<readonly string[]> {
    const deleted = this.#context.rotates ? await this.#deleteMoved(key) : [key]
    if (this.#context.reader.mayHaveOld(id)) {
      // A request that has read it where it was before must not move it now.
      await this.#context.cache.set(key, tombstone, { ttl: longestRequestMs })
      await this.#context.reader.deleteOld(id)
    } else if (!this.#context.rotates) await this.#context.cache.delete(key)
    return deleted
  }

  /** Deletes what a key leads to, and then the key itself, so that no rotation comes in between. */
  #deleteMoved(key: string): Promise<string[]> {
    const { clock, driver: store } = this.#context.cache
    return retryOnConflict({ operation: 'destroy', store, key }, clock, async () => {
      const snapshot = await this.#context.cache.snapshot(key)
      const next = movedTo(snapshot.value)
      const deleted = next === undefined ? [] : await this.#deleteMoved(next)
      const isDeleted = snapshot.value === undefined || (await snapshot.delete())
      return isDeleted ? [key, ...deleted] : conflict
    })
  }

  /** The user whose list has to be changed when the session ends. */
  async #userOfKey(key: string, id: string): Promise<string | number | undefined> {
    if (this.#context.users === undefined) return undefined
    const known = this.#context.users.forget(key)
    if (known !== undefined) return known
    const found = await this.#context.reader.readToWrite(key, id)
    return found && this.#context.users.userOf(found.fields)
  }

  /** Deletes a session that has ended, but not what leads to another one: that may have been spared. */
  async #deleteSession(key: string): Promise<void> {
    const snapshot = await this.#context.cache.snapshot(key)
    if (movedTo(snapshot.value) === undefined) await snapshot.delete()
  }

  /** The key that a key leads to after a rotation. */
  async #currentKeyOf(key: string): Promise<string> {
    if (!this.#context.rotates) return key
    const next = movedTo((await this.#context.cache.snapshot(key)).value)
    return next === undefined ? key : this.#currentKeyOf(next)
  }
}
