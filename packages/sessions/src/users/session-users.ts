import type { Snapshot } from '@stowage/core'
import { RecentMap } from '@stowage/core/internal'
import { type SessionText, type StoredSession, toFields } from '../data/session-item.ts'
import type { SeenIndex, UserIndex } from './user-index.ts'

type User = string | number

/** Beyond it, the user of a session that was read long ago has to be read again first. */
const maxKnownUsers = 10_000

interface KnownIndex {
  readonly user: User
  readonly index: SeenIndex
}

/** A session that was read in order to list it. */
export interface FoundSession<T extends object> {
  readonly key: string
  readonly session: T
  readonly stored: StoredSession
}

/** The users of sessions, and whether their lists contain them. */
export class SessionUsers {
  readonly index: UserIndex
  /** The user of a session, given its fields. */
  readonly userOf: (fields: object) => User | undefined
  /** By the key of the session: the user that it had when it was read last. */
  readonly #known = new RecentMap<User>(maxKnownUsers)

  constructor(index: UserIndex, userOf: (session: object) => User | undefined) {
    this.index = index
    // A number and its text have the same list. As two users, they would take a session out of each other's list.
    this.userOf = (fields) => {
      const user = userOf(fields)
      return Number.isFinite(user) ? String(user) : user
    }
  }

  /** The user of a session, given its JSON. */
  userOfText(text: SessionText): User | undefined {
    return this.userOf(toFields(text))
  }

  /** Reads the list of the user that a session had when it was read last. */
  async readKnown(key: string): Promise<KnownIndex | undefined> {
    const user = this.#known.get(key)
    return user === undefined ? undefined : { user, index: await this.index.read(user) }
  }

  /**
   * Returns a session that was read, if it has no user, or if its user's list contains it. One that is not listed, because it was
   * stored without the option `index`, must not have been ended with all others of its user.
   *
   * @param exists reads the session again
   */
  async ifListed<S extends SeenSession & { readonly fields: object }>(
    key: string,
    found: S,
    known: KnownIndex | undefined,
    exists: () => Promise<boolean>,
  ): Promise<S | undefined> {
    const user = this.userOf(found.fields)
    if (user === undefined) return found
    if (!found.stored.isListed) return (await this.hasEnded(key, found, exists)) ? undefined : found
    const isIn = (index: SeenIndex) => contains(index, key, found.stored.created)
    let index = known?.user === user ? known.index : await this.index.read(user)
    // The list may be that of before a clear, and the session one of after it.
    if (!isIn(index)) index = await this.index.read(user, true)
    if (!isIn(index)) return undefined
    this.#known.set(key, user)
    return { ...found, index }
  }

  /** Returns those of some sessions that the lists of their users do not say have ended. Reads each list once. */
  async existing<S extends FoundSession<object>>(sessions: readonly S[]): Promise<S[]> {
    const indexes = new Map<User, Promise<SeenIndex>>()
    const indexOf = (user: User) => {
      const index = indexes.get(user) ?? this.index.read(user, true)
      indexes.set(user, index)
      return index
    }
    const exist = await Promise.all(
      sessions.map(async ({ key, session, stored: { created, isListed } }) => {
        const user = this.userOf(session)
        if (user === undefined) return true
        const index = await indexOf(user)
        return isListed
          ? contains(index, key, created)
          : !this.index.isOver(index, { key, created })
      }),
    )
    return sessions.filter((_, at) => exist[at])
  }

  /**
   * Whether a session that is not listed was ended, with all of its user. A `clear` since the session was read may have
   * deleted the list that says so: the session was deleted before it then.
   */
  async hasEnded(
    key: string,
    { fields, stored }: SeenSession & { readonly fields: object },
    exists: () => Promise<boolean>,
  ): Promise<boolean> {
    const user = this.userOf(fields)
    if (user === undefined) return false
    const hasEnded = await this.index.hasEnded(user, { key, created: stored.created })
    return hasEnded || !(await exists())
  }

  /** To be called when a session has ended. */
  forget(key: string): User | undefined {
    const user = this.#known.get(key)
    this.#known.delete(key)
    return user
  }
}

function contains({ entries }: SeenIndex, key: string, created: number): boolean {
  return entries[key]?.[0] === created
}

/** A session in the store, with the right to replace it. */
export interface SeenSession {
  /** Its key: after a rotation, not that of the old id, with which it was read. */
  readonly key: string
  readonly stored: StoredSession
  readonly snapshot: Snapshot<unknown>
  /** Whether it is stored where sessions are moved from. */
  readonly isOld: boolean
  /** The list of its user that was read with it. */
  readonly index?: SeenIndex | undefined
}
