import { createHash, createHmac } from 'node:crypto'
import type { BackendTraits, History } from '@stowage/testing/simulation'
import {
  indexSecret,
  isAcknowledged,
  type SessionEnd,
  type SessionHistory,
  SessionLog,
  type SessionRead,
  type SessionWrite,
  sessionKeys,
} from './session-log.ts'

/** How long other processes may read a session after a `clear()` where keys cannot be listed, in milliseconds. */
const clearNoticeMs = 1_100
/** Beyond it, the clocks of two operations differ. In milliseconds. */
const maxSkewMs = 5
const expiryMarginMs = 50

type Traits = Pick<BackendTraits, 'scan' | 'ttlStep'>

/**
 * Judges that a session that has ended is never read again, that one that has not ended is never missing, and that each
 * key of a session behaves like a register: no acknowledged change is lost.
 */
export function judgeSessions<Call>(
  { losses }: History<Call>,
  { traits, shared }: { readonly traits: Traits; readonly shared: ReadonlyMap<string, unknown> },
): string | undefined {
  const skews = SessionLog.of(shared).operations.flatMap(({ skewsMs }) => skewsMs)
  const hasSkews = Math.max(...skews) - Math.min(...skews) > maxSkewMs
  for (const history of SessionLog.of(shared).byId().values()) {
    const ids = SessionLog.of(shared).idsOf(history.id)
    const digests = [...ids.map(digestOf), ...history.writes.map(({ owner }) => indexKeyOf(owner))]
    const ownLosses = losses.filter(({ key }) => digests.some((digest) => key.endsWith(digest)))
    const lostFrom = Math.min(...ownLosses.map(({ order }) => order))
    const problem = new SessionJudge(history, traits, lostFrom, hasSkews).judge()
    if (problem !== undefined) return problem
  }
  return undefined
}

function digestOf(id: string): string {
  return createHash('sha256').update(id).digest('base64url')
}

function indexKeyOf(owner: string): string {
  return createHmac('sha256', indexSecret).update(owner).digest('base64url')
}

class SessionJudge {
  readonly #history: SessionHistory
  readonly #traits: Traits
  /** When the backend may have lost the session, in the order of everything that happened. */
  readonly #lostFrom: number
  /** Whether the clocks of the processes differed. */
  readonly #hasSkews: boolean

  constructor(history: SessionHistory, traits: Traits, lostFrom: number, hasSkews: boolean) {
    this.#hasSkews = hasSkews
    this.#history = history
    this.#traits = traits
    this.#lostFrom = lostFrom
  }

  judge(): string | undefined {
    const { reads, writes } = this.#history
    const found = reads.filter((read) => isAcknowledged(read))
    return (
      this.#judgeCreates() ??
      first(found, (read) => this.#judgeEnd(read) ?? this.#judgeMissing(read)) ??
      first(found, (read) => this.#judgeOwner(read) ?? this.#judgeExpiry(read)) ??
      first(found, (read) => first(sessionKeys, (key) => this.#judgeKey(read, key))) ??
      first(writes, (write) => this.#judgeDropped(write))
    )
  }

  /** A second session under an id is refused as long as the first one exists. */
  #judgeCreates(): string | undefined {
    const created = this.#history.creates.filter(isAcknowledged)
    return first(created, (later) => {
      const earlier = created.find((each) => each.ended < later.began)
      if (earlier === undefined || this.#mayHaveEnded(earlier, later)) return undefined
      return `${later.process} created ${later.id}, which existed.`
    })
  }

  /** A session that has ended is not read again. */
  #judgeEnd(read: SessionRead): string | undefined {
    if (read.session === undefined || this.#mayBeCleared(read)) return undefined
    const { owner } = read.session
    const creates = this.#history.creates.filter((create) => create.owner === owner)
    if (creates.some((create) => !this.#hasEnded(create, read))) return undefined
    return `${read.process} read ${read.id} at ${read.beganAt} ms, after the session had ended.`
  }

  #hasEnded(create: SessionWrite, read: SessionRead): boolean {
    const isOver = (end: SessionEnd) =>
      end.ended < read.began &&
      end.began > create.ended &&
      this.#mustEnd(create, end) &&
      !this.#mayMiss(create, end, read)
    const { clears } = this.#history
    return this.#history.endsOf(create.owner).some(isOver) || clears.some(isOver)
  }

  /** A second session under a later id has nothing to do with the earlier ones, once what leads from them to it is cleared. */
  #mustEnd(create: SessionWrite, { op, sentId }: SessionEnd): boolean {
    return op !== 'destroy' || sentId === create.sentId || create === this.#history.creates[0]
  }

  /**
   * Whether the list of a user may be lost, which says that a session has ended which is not in it: by the backend, or because
   * the session was created during a clear, which deletes the list later.
   */
  #mayMiss(create: SessionWrite, end: SessionEnd, read: SessionRead): boolean {
    if (end.op !== 'destroy all' || create.isUnlisted !== true) return false
    const { clears } = this.#history
    const isCleared = clears.some((clear) => clear.began < create.ended && clear.ended > end.began)
    return isCleared || this.#lostFrom < read.ended
  }

  /** A session that has not ended is not missing. */
  #judgeMissing(read: SessionRead): string | undefined {
    if (read.session !== undefined || this.#history.mayHaveMoved(read)) return undefined
    // A second session under an old id has nothing to do with the new one.
    const [original] = this.#history.creates
    const create = this.#history.creates.find(
      (each) => each.ended < read.began && (each === original || each.sentId === read.sentId),
    )
    if (create === undefined || this.#mayHaveEnded(create, read)) return undefined
    return `${read.process} did not find ${read.id} at ${read.beganAt} ms, which had not ended.`
  }

  /** A write is dropped only if the session has ended. */
  #judgeDropped(write: SessionWrite): string | undefined {
    if (write.outcome !== 'dropped') return undefined
    const create = this.#history.creates.find(({ ended }) => ended < write.began)
    if (create === undefined || this.#mayHaveEnded(create, write)) return undefined
    return `A write of ${write.process} to ${write.id} at ${write.beganAt} ms was dropped, although the session had not ended.`
  }

  /** Whether the session may have ended before `until` is over. */
  #mayHaveEnded(create: SessionWrite, until: SessionRead | SessionWrite): boolean {
    const isPossible = (end: SessionEnd) => end.began < until.ended && this.#isSince(create, end)
    return (
      this.#lostFrom < until.ended ||
      this.#history.possibleEndsOf(create.owner).some(isPossible) ||
      this.#history.clears.some(isPossible) ||
      this.#mayHaveExpired(create, until)
    )
  }

  /** Whether an end may concern a session: not if it was created later, unless that is known by the clocks only. */
  #isSince({ began, isUnlisted }: SessionWrite, end: SessionEnd): boolean {
    return end.ended > began || (end.op === 'destroy all' && isUnlisted === true)
  }

  #mayHaveExpired(create: SessionWrite, until: SessionRead | SessionWrite): boolean {
    const { ttlMs, beganAt } = create
    if (ttlMs === undefined) return false
    const writes = this.#history.writes.filter(({ owner }) => owner === create.owner)
    if (this.#hasSkews) return true
    const uses = writes.filter(({ ended, outcome }) => ended < until.began && outcome !== 'dropped')
    // A shift of the expiry by less than a twentieth is not stored.
    const lifetime = ttlMs * 0.95 - 1
    let expiry = beganAt + lifetime
    for (const use of uses.toSorted((a, b) => a.endedAt - b.endedAt)) {
      // One that ended later may have found that the session had expired.
      if (use.endedAt < expiry) expiry = Math.max(expiry, usedAt(use) + lifetime)
    }
    return until.endedAt >= expiry
  }

  #judgeOwner(read: SessionRead): string | undefined {
    const owner = read.session?.owner
    if (owner === undefined) return undefined
    const changed = this.#writesOf(read).find(
      (write) => write.owner !== owner && containsChange(read, write),
    )
    return (
      changed && `${read.process} read a change by ${changed.owner} in the session of ${owner}.`
    )
  }

  /** A session that nobody uses expires. */
  #judgeExpiry(read: SessionRead): string | undefined {
    const writes = this.#history.writes.filter(({ owner }) => owner === read.session?.owner)
    const ttlMs = writes[0]?.ttlMs
    if (read.session === undefined || ttlMs === undefined) return undefined
    const uses = [...writes, ...this.#history.rotations].filter(({ began }) => began < read.ended)
    if (!uses.every(isAcknowledged)) return undefined
    const lastUse = Math.max(...uses.map(({ endedAt }) => endedAt))
    const latest = lastUse + ttlMs + 2 * this.#traits.ttlStep + expiryMarginMs
    if (read.beganAt <= latest) return undefined
    return `${read.process} read ${read.id} at ${read.beganAt} ms, although it expired at ${latest} ms at the latest.`
  }

  /** The value of a key is that of a change that no later one has replaced. */
  #judgeKey(read: SessionRead, key: string): string | undefined {
    if (read.session === undefined || this.#mayBeCleared(read)) return undefined
    const value = read.session[key]
    const writes = this.#writesOf(read).filter(
      (write) => write.op === 'create' || key in write.changes,
    )
    const seenBefore = this.#history.reads
      .filter(({ ended, session }) => ended < read.began && session?.[key] !== undefined)
      .flatMap(({ session }) => writes.filter((write) => write.changes[key] === session?.[key]))
    const isReplaced = (write: SessionWrite) =>
      writes.some((later) => later.began > write.ended && later.ended < read.began) ||
      seenBefore.some((later) => later.began > write.ended)
    const isPossible = writes.some((write) => write.changes[key] === value && !isReplaced(write))
    if (isPossible) return undefined
    return `${read.process} read ${key}=${value} of ${read.id} at ${read.beganAt} ms, but a change was acknowledged before.`
  }

  /** Whether the process may not have noticed a clear yet. A session that was created at the same time is in two generations. */
  #mayBeCleared({ began, ended, beganAt }: SessionRead): boolean {
    if (this.#traits.scan) return false
    return this.#history.clears.some(
      (clear) =>
        clear.began < ended && (clear.ended > began || beganAt < clear.endedAt + clearNoticeMs),
    )
  }

  /** The writes that may have taken effect before the end of a read. */
  #writesOf(read: SessionRead): readonly SessionWrite[] {
    const writes = this.#history.writes.filter(
      ({ began, outcome }) => began < read.ended && outcome !== 'refused',
    )
    if (this.#traits.scan) return writes.filter(({ outcome }) => outcome !== 'dropped')
    // One that was dropped because of a clear may have taken effect before it, in the generation that has ended.
    return writes.map((write) =>
      write.outcome === 'dropped' ? { ...write, ended: Infinity } : write,
    )
  }
}

/**
 * From when the expiry counts. A request that changes nothing does not move it if others have stored the session since it
 * was read.
 */
function usedAt({ outcome, beganAt, readAt }: SessionWrite): number {
  return outcome === 'saved' ? beganAt : readAt
}

function containsChange({ session }: SessionRead, { changes }: SessionWrite): boolean {
  return Object.entries(changes).some(
    ([key, value]) => value !== undefined && session?.[key] === value,
  )
}

function first<T>(items: readonly T[], judge: (item: T) => string | undefined): string | undefined {
  for (const item of items) {
    const problem = judge(item)
    if (problem !== undefined) return problem
  }
  return undefined
}
