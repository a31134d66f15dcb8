import { CacheError, type Snapshot } from '@stowage/core'
import { conflict, retryOnConflict } from '@stowage/core/driver'
import { backendTime, expectMissing } from '@stowage/core/internal'
import { type DroppedEvent, publishSession, sessionChannels } from '../channels.ts'
import { merge } from '../data/merge.ts'
import { haveSameAttributes, mergeExpiry, type SessionCookie } from '../data/session-cookie.ts'
import {
  hasBody,
  longestRequestMs,
  pointerTo,
  type SessionText,
  type StoredSession,
} from '../data/session-item.ts'
import type { SessionReader } from '../reading/session-reader.ts'
import type { SessionContext } from '../session-context.ts'
import type { SeenSession } from '../users/session-users.ts'
import type { SessionBaseline } from './session-baseline.ts'
import { type DraftSession, isOver, SessionDrafts } from './session-drafts.ts'
import { SessionListing } from './session-listing.ts'
import type { SessionQueue } from './session-queues.ts'

/**
 * What became of a write. `'unchanged'`: there was nothing to store. `'dropped'`: the session has ended or belongs to
 * another user since it was read, so the changes were not stored.
 */
export type SaveOutcome = 'saved' | 'unchanged' | 'dropped'

/** What became of a rotation. `'unchanged'`: another request has given the session another id. */
export type RotateOutcome = 'rotated' | 'unchanged' | 'dropped'

/** A session that is being written. */
export interface Target {
  readonly key: string
  readonly id: string
  readonly baseline: SessionBaseline
  readonly queue: SessionQueue
}

/** Writes sessions: what was read is replaced only if it has not changed, and never stored again after it has ended. */
export class SessionWriter {
  readonly #context: SessionContext
  readonly #reader: SessionReader
  readonly #drafts: SessionDrafts
  readonly #listing: SessionListing

  constructor(context: SessionContext, reader: SessionReader) {
    this.#context = context
    this.#reader = reader
    this.#drafts = new SessionDrafts(context)
    this.#listing = new SessionListing(context)
  }

  /** Stores a new session. @throws CacheError `ERR_CACHE_REJECTED` if one with this id exists: it may be another user's */
  async create(target: Target, ours: SessionText): Promise<SaveOutcome> {
    const { baseline, queue, key } = target
    if (queue.last === 'ended') return this.#drop(target, 'ended')
    const stored = this.#drafts.draft(ours, baseline.created)
    if (isOver(stored)) return this.#end(target)
    await this.#listing.add(key, stored, undefined, true)
    const snapshot = await this.#drafts.store(expectMissing(this.#context.cache, key), stored)
    const seen =
      snapshot === undefined ? await this.#ownAttempt(target, ours) : seenOf(key, snapshot, stored)
    if (seen === undefined) throw this.#alreadyExists(key)
    queue.last = seen
    baseline.update(seen, ours)
    await this.#bound(key, stored)
    publishSession('created', this.#context.cache.name, key)
    return 'saved'
  }

  /** Stores the changes of a session since it was read. */
  async update(target: Target, ours: SessionText): Promise<SaveOutcome> {
    const { baseline, queue, key } = target
    const view = baseline.view as SessionText
    if (baseline.hasEnded) return this.#drop(target, 'ended')
    if (isUnchanged(view, ours)) return this.#keepAlive(target, ours)
    let seen: SeenSession | 'ended' | undefined = queue.last ?? baseline.seen
    return this.#retry('save', key, async () => {
      if (seen === undefined || seen === 'ended') return this.#drop(target, 'ended')
      // Another session under the same id.
      if (isOther(baseline, seen.stored)) return this.#drop(target, 'ended')
      if (!this.#listing.isOfUser(view, ours, seen.stored.text))
        return this.#drop(target, 'identity')
      const text = this.#combine(key, view, ours, seen.stored.text)
      const stored = this.#drafts.draft(text, seen.stored.created, seen.stored)
      if (isOver(stored)) return this.#end(target)
      const next = await this.#replace(target.id, seen, stored)
      if (next === undefined) {
        seen = await this.#reader.readToWrite(key, target.id)
        return conflict
      }
      queue.last = next
      baseline.update(next, ours)
      return 'saved'
    })
  }

  /**
   * Gives a session another key. The old one leads to it for `graceMs`, so that requests that were sent with the old id are
   * answered.
   */
  async rotate(target: Target, newKey: string, graceMs: number): Promise<RotateOutcome> {
    const { baseline, queue, key } = target
    if (baseline.hasEnded) return this.#drop(target, 'ended')
    let seen: SeenSession | 'ended' | undefined = queue.last ?? baseline.seen
    return this.#retry('rotate', key, async () => {
      if (seen === undefined || seen === 'ended') return this.#drop(target, 'ended')
      if (isOther(baseline, seen.stored)) return this.#drop(target, 'ended')
      if (seen.key !== key || seen.isOld) return 'unchanged'
      const next = await this.#rotateTo(newKey, seen, graceMs)
      if (next === undefined) {
        seen = await this.#reader.readToWrite(key, target.id)
        return conflict
      }
      queue.last = next
      baseline.rotate(next)
      this.#context.anonymous?.remove(key)
      // A process that ended while it moved the session has left a copy there, to which this id would lead again. The session
      // has its other id even if that fails.
      await this.#deleteOld(target.id).catch(() => {})
      await this.#bound(newKey, next.stored)
      return 'rotated'
    })
  }

  /** Stores a session under another key. Resolves to `undefined` if it has changed or ended meanwhile. */
  async #rotateTo(
    newKey: string,
    seen: SeenSession,
    graceMs: number,
  ): Promise<SeenSession | undefined> {
    const { cache } = this.#context
    const { key, stored, snapshot } = seen
    const rotation = { rotated: this.#now(), firstKey: stored.firstKey ?? key }
    const draft = this.#drafts.draft(stored.text, stored.created, rotation)
    if (isOver(draft)) return undefined
    if (!(await this.#listing.add(key, draft, seen))) return undefined
    if (!(await this.#listing.addRotated(key, newKey, draft))) return undefined
    const rotated = await this.#drafts.store(expectMissing(cache, newKey), draft)
    if (rotated === undefined) throw this.#alreadyExists(newKey)
    // From here on, the old id leads to the new key. Nothing but this makes the new key reachable, so that a process that
    // ends before leaves a session that nothing can read.
    const pointer = pointerTo(newKey, (await backendTime(cache)) + graceMs)
    const isReplaced = await snapshot.replace(pointer, { ttl: Math.max(graceMs, longestRequestMs) })
    if (!isReplaced) await rotated.delete()
    await this.#listing.removeRotated(isReplaced ? key : newKey, draft)
    return isReplaced ? seenOf(newKey, rotated, draft) : undefined
  }

  /** Whether `update` would store something. */
  isDue(baseline: SessionBaseline, ours: SessionText): boolean {
    const { view, hasEnded } = baseline
    if (hasEnded) return false
    return (
      view === undefined || !hasBody(view, ours.body) || this.isCookieDue(baseline, ours.cookie)
    )
  }

  /** Whether the cookie of a session that was read has other attributes, or its expiry has moved far enough. */
  isCookieDue({ view, seen }: SessionBaseline, cookie: SessionCookie | undefined): boolean {
    const before = view?.cookie
    if (seen === undefined || !haveSameAttributes(before, cookie)) return true
    const { text, created } = seen.stored
    const merged = mergeExpiry(before, cookie, text.cookie)
    const { lifetime } = this.#context
    const now = this.#now()
    return lifetime.isExpiryDue(seen.stored, lifetime.expiryOf(merged, created, now), now)
  }

  /** Stores a session that was not read before, whatever is stored under its id. */
  async put(target: Target, ours: SessionText): Promise<SaveOutcome> {
    const { baseline, queue, key, id } = target
    const stored = this.#drafts.draft(ours, baseline.created)
    if (isOver(stored)) return this.#end(target)
    // Before the list says that the session with this key is another one.
    this.#drafts.checkSize(stored)
    await this.#listing.add(key, stored, undefined)
    const { cache } = this.#context
    return this.#retry('save', key, async () => {
      const snapshot =
        (await this.#drafts.store(expectMissing(cache, key), stored)) ??
        (await this.#drafts.store(await cache.snapshot(key), stored))
      if (snapshot === undefined) return conflict
      queue.last = seenOf(key, snapshot, stored)
      baseline.update(queue.last, ours)
      await this.#deleteOld(id)
      await this.#bound(key, stored)
      return 'saved'
    })
  }

  #retry<T>(
    operation: string,
    key: string,
    attempt: () => Promise<T | typeof conflict>,
  ): Promise<T> {
    const { cache, clock } = this.#context
    return retryOnConflict({ operation, store: cache.driver, key }, clock, attempt)
  }

  /** Moves the expiry of an unchanged session, if it has moved far enough. */
  async #keepAlive(target: Target, ours: SessionText): Promise<SaveOutcome> {
    const { baseline, queue } = target
    const seen = baseline.seen as SeenSession
    // A write of this process a moment ago has moved it, or the session has ended.
    if (queue.last !== undefined) return 'unchanged'
    const text = merge(baseline.view as SessionText, ours, seen.stored.text)
    const stored = this.#drafts.draft(text, seen.stored.created, seen.stored)
    if (isOver(stored)) return this.#end(target)
    if (!this.#context.lifetime.isExpiryDue(seen.stored, stored.expires, this.#now()))
      return 'unchanged'
    const next = await this.#replace(target.id, seen, stored)
    // Whatever has changed the session meanwhile has moved the expiry as well, or ended it.
    if (next === undefined) return 'unchanged'
    queue.last = next
    baseline.update(next, ours)
    return 'saved'
  }

  /** Replaces what was seen. Resolves to what is stored then, or to `undefined` if it has changed. */
  async #replace(
    id: string,
    seen: SeenSession,
    stored: DraftSession,
  ): Promise<SeenSession | undefined> {
    const { key } = seen
    const { users, anonymous } = this.#context
    if (stored.isListed) anonymous?.remove(key)
    if (users !== undefined && !(await this.#listing.add(key, stored, seen))) return undefined
    if (!seen.isOld) {
      const snapshot = await this.#drafts.store(seen.snapshot, stored)
      if (snapshot === undefined) return undefined
      const existed = !seen.stored.isListed || (await this.#listing.removeBefore(key, stored, seen))
      if (existed) return seenOf(key, snapshot, stored)
      await this.#context.cache.delete(key)
      return undefined
    }
    // A request may have read it long ago. Once it is stored here, others read it.
    if ((await this.#reader.readOld(id)) === undefined) return undefined
    const moved = await this.#drafts.store(expectMissing(this.#context.cache, key), stored)
    if (moved === undefined) return undefined
    if (await seen.snapshot.delete()) return seenOf(key, moved, stored)
    // Another process has changed or ended the session where it was.
    await moved.delete()
    return undefined
  }

  /** Bounds the number of sessions without a user. */
  async #bound(key: string, { isListed }: StoredSession): Promise<void> {
    if (!isListed) await this.#context.anonymous?.add(key)
  }

  /** Returns what an earlier attempt to create the session has stored, whose reply was lost. */
  async #ownAttempt(
    { key, id, baseline }: Target,
    ours: SessionText,
  ): Promise<SeenSession | undefined> {
    const found = await this.#reader.readToWrite(key, id)
    const isOwn = found?.stored.created === baseline.created && found.stored.text.body === ours.body
    return isOwn ? found : undefined
  }

  /** Deletes a session where sessions are moved from. */
  async #deleteOld(id: string): Promise<void> {
    const found = await this.#reader.readOld(id)
    await found?.snapshot.delete()
  }

  #combine(key: string, view: SessionText, ours: SessionText, theirs: SessionText): SessionText {
    const { concurrency, cache } = this.#context
    // Only the cookie has changed otherwise, as with `touch`.
    if (concurrency === 'lastWrite' && !hasBody(view, ours.body)) return ours
    if (view !== theirs && !isUnchanged(view, theirs)) {
      if (concurrency === 'reject') throw changed(cache.driver, key)
      publishSession('merged', cache.name, key)
    }
    return merge(view, ours, theirs)
  }

  /** Ends a session whose time is over. */
  async #end({ key, id, baseline, queue }: Target): Promise<SaveOutcome> {
    queue.last = 'ended'
    baseline.hasEnded = true
    const { cache } = this.#context
    if (baseline.seen !== undefined && baseline.seen.key !== key)
      await cache.delete(baseline.seen.key)
    await cache.delete(key)
    await this.#deleteOld(id)
    return 'saved'
  }

  #drop({ key, baseline, queue }: Target, reason: DroppedEvent['reason']): 'dropped' {
    if (reason === 'ended') {
      baseline.hasEnded = true
      queue.last = 'ended'
    }
    if (sessionChannels.dropped.hasSubscribers) {
      sessionChannels.dropped.publish({ cache: this.#context.cache.name, key, reason })
    }
    return 'dropped'
  }

  #now(): number {
    return this.#context.clock.now()
  }

  #alreadyExists(key: string): CacheError {
    const { driver } = this.#context.cache
    return new CacheError(
      'ERR_CACHE_REJECTED',
      'A session with this id exists, and may be that of another user. Give each session a random id.',
      { store: driver, operation: 'create', key },
    )
  }
}

function isUnchanged(view: SessionText, ours: SessionText): boolean {
  return hasBody(view, ours.body) && haveSameAttributes(view.cookie, ours.cookie)
}

/** Whether a stored session began at another time than the one that was read. */
function isOther({ seen }: SessionBaseline, { created }: StoredSession): boolean {
  const before = seen?.stored.created ?? Number.NaN
  return !Number.isNaN(before) && before !== created
}

export function seenOf(
  key: string,
  snapshot: Snapshot<unknown>,
  stored: StoredSession,
): SeenSession {
  return { key, snapshot, stored, isOld: false }
}

function changed(store: string, key: string): CacheError {
  return new CacheError(
    'ERR_CACHE_REJECTED',
    'Another request has changed the session since it was read. Read it again, and repeat the change.',
    { store, operation: 'save', key, retryable: true },
  )
}
