import type { SessionText, StoredSession } from '../data/session-item.ts'
import type { SessionContext } from '../session-context.ts'
import type { SeenSession, SessionUsers } from '../users/session-users.ts'
import type { IndexedSession, UserIndex } from '../users/user-index.ts'
import type { DraftSession } from './session-drafts.ts'

type User = string | number

/** Keeps the lists of users in step with their sessions. */
export class SessionListing {
  readonly #context: SessionContext

  constructor(context: SessionContext) {
    this.#context = context
  }

  get #users(): SessionUsers | undefined {
    return this.#context.users
  }

  /**
   * Whether the session is still of the user whom it had when it was read, or of the one whom the request gives it: another
   * request, or an attempt whose reply was lost, may have signed in the same user.
   */
  isOfUser(view: SessionText, ours: SessionText, theirs: SessionText): boolean {
    if (view.body === theirs.body) return true
    const user = this.#userOf(theirs)
    return this.#userOf(view) === user || (user !== undefined && this.#userOf(ours) === user)
  }

  /**
   * Makes the list of the user contain a session that is about to be stored. If the process ends in between, the list
   * contains a session that does not exist, which is harmless. Resolves to `false` if the session gets its first or another user,
   * and was ended with all of its user.
   *
   * @param isNew whether it will not be stored in place of another one with its key, which stays in the list then
   */
  async add(
    key: string,
    draft: DraftSession,
    seen: SeenSession | undefined,
    isNew?: boolean,
  ): Promise<boolean> {
    const index = this.#users?.index
    if (index === undefined) return true
    const user = draft.isListed ? this.#userOf(draft.text) : undefined
    const before = seen && this.#userOf(seen.stored.text)
    if (user !== undefined && before === user && seen?.stored.isListed === true) {
      await this.#extend(user, key, draft, seen)
      return true
    }
    const unlisted = seen?.stored.isListed === false ? listingOf(seen) : undefined
    if (seen !== undefined && before !== undefined && before !== user) {
      if (await hasEnded(index, before, seen)) return false
    }
    if (user === undefined) return true
    const entry = { key, created: draft.created, lifetimeMs: draft.lifetimeMs, isNew }
    const removed = await index.add(user, entry, before === user ? unlisted : undefined)
    if (removed !== undefined && removed.length > 0) await this.#context.cache.deleteMany(removed)
    return removed !== undefined
  }

  async #extend(
    user: User,
    key: string,
    { lifetimeMs }: DraftSession,
    seen: SeenSession,
  ): Promise<void> {
    const index = this.#users?.index
    const isDue = seen.index !== undefined && index?.isDue(seen.index, key, lifetimeMs)
    if (isDue) await index?.extend(user, key, lifetimeMs)
  }

  /**
   * Takes a session that was stored with another user out of the list of the user before. Resolves to `false` if the list did
   * not contain it: the session was ended, although it may not have been deleted yet.
   */
  async removeBefore(key: string, stored: StoredSession, seen: SeenSession): Promise<boolean> {
    const before = this.#userOf(seen.stored.text)
    const index = this.#users?.index
    if (index === undefined || before === undefined || before === this.#userOf(stored.text))
      return true
    const removed = await index.remove(before, (each) => each !== key)
    return removed.includes(key)
  }

  /** Lists a session under a second key. Resolves to `false` if the list does not contain the first one. */
  async addRotated(key: string, newKey: string, stored: StoredSession): Promise<boolean> {
    const user = stored.isListed ? this.#userOf(stored.text) : undefined
    return user === undefined || this.#users === undefined
      ? true
      : this.#users.index.addCopy(user, key, newKey)
  }

  /** Takes one of the two keys out of the list again. */
  async removeRotated(key: string, stored: StoredSession): Promise<void> {
    const user = stored.isListed ? this.#userOf(stored.text) : undefined
    if (user !== undefined) await this.#users?.index.remove(user, (each) => each !== key)
  }

  #userOf(text: SessionText): User | undefined {
    return this.#users?.userOfText(text)
  }
}

/** Whether a session has ended, of a user that it is about to lose. */
function hasEnded(index: UserIndex, user: User, seen: SeenSession): Promise<boolean> {
  const session = listingOf(seen)
  return seen.stored.isListed ? index.hasLost(user, session) : index.hasEnded(user, session)
}

function listingOf({ key, stored }: SeenSession): IndexedSession {
  return { key, created: stored.created }
}
