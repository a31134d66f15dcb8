import type { Connection } from '../connection/connection.ts'
import { parseToken } from './consistency-token.ts'
import { type Answer, type Standing, standing } from './replication-info.ts'

/** How many written keys are told apart; beyond it, any key counts as written. */
const keptKeys = 100_000
const shortestPauseMs = 1
const longestPauseMs = 10
/** At most, between two questions to a server that does not say where it stands, or follows somebody else. */
const longestSilenceMs = 500

/** A replica as the fence sees it. */
export interface Follower {
  readonly connection: Connection
  /** Where the stream comes from. */
  readonly primary: Connection
  /** Every write up to this number is applied there; −1 when not even the past is certain. */
  safe: number
  /** Whether it is being asked how far it has come. */
  followed: boolean
  /** What it has said last. */
  standing: Standing | undefined
}

/**
 * Tells which replicas have applied what this process wrote, without guessing a delay. Each write gets a number. While
 * a replica lacks some, it is asked how far it has come until it has reached what its primary had when that was asked;
 * then every write that was answered before is there. Where the user may not ask, a time is waited instead.
 */
export class Fence {
  readonly #followers: readonly Follower[]
  readonly #assumedLagMs: number
  /** The number of the last write of each key that is not known to be applied everywhere. */
  readonly #written = new Map<string, number>()
  /** Writes begun and not settled yet, the oldest first. */
  readonly #open = new Set<number>()
  /** How far a replica of each stream must have come, by the tokens of other processes. */
  readonly #expected = new Map<string, number>()
  #last = 0
  /** Every key counts as written with this number. */
  #floor = 0
  #closed = false

  /** Replicas may come and go in the list. */
  constructor(followers: readonly Follower[], assumedLagMs: number) {
    this.#followers = followers
    this.#assumedLagMs = assumedLagMs
  }

  /** To be called before a write is sent; the function it returns, when the write is settled. */
  writing(keys: readonly string[] | undefined): () => void {
    const number = ++this.#last
    this.#open.add(number)
    if (keys === undefined || this.#written.size + keys.length > keptKeys) this.#floor = number
    else for (const key of keys) this.#note(key, number)
    return () => {
      this.#open.delete(number)
      this.#followAll()
    }
  }

  /** The number a replica must have reached to answer for these keys. */
  required(keys: readonly string[]): number {
    let required = this.#floor
    if (this.#written.size === 0) return required
    for (const key of keys) required = Math.max(required, this.#written.get(key) ?? 0)
    return required
  }

  /** Those of the keys that not every replica is known to have as they were written. */
  written(keys: readonly string[]): ReadonlySet<string> {
    return new Set(this.#written.size === 0 ? [] : keys.filter((key) => this.#written.has(key)))
  }

  /** Whether the replica has all writes up to that number, and what was observed. */
  trusts(follower: Follower, required: number): boolean {
    return follower.safe >= required && this.#hasExpected(follower)
  }

  /** A replica that was away may have older data: nothing counts as applied until it is asked. */
  distrust(follower: Follower): void {
    follower.safe = -1
    follower.standing = undefined
  }

  /** Asks a replica how far it has come, until it has everything or is away. */
  follow(follower: Follower): void {
    if (follower.followed || this.#closed) return
    follower.followed = true
    void this.#follow(follower)
  }

  /** Any key may have moved to servers that do not have it yet: until they are asked, the primaries answer. */
  raise(): void {
    this.#floor = ++this.#last
    this.#followAll()
  }

  /** From now on replicas must have come as far as another process had. */
  observe(token: string): void {
    const positions = parseToken(token)
    if (positions === undefined) return
    const known = positions.every(({ stream }) => this.#knows(stream))
    if (known && positions.length > 0) {
      for (const { stream, offset } of positions) this.#expect(stream, offset)
      this.#followAll()
    } else this.raise()
  }

  close(): void {
    this.#closed = true
  }

  #followAll(): void {
    for (const follower of this.#followers) this.follow(follower)
  }

  async #follow(follower: Follower): Promise<void> {
    let silenceMs = longestPauseMs
    while (this.#lacksSomething(follower)) {
      const settled = this.#settledUpTo()
      const proven = await this.#prove(follower)
      if (proven) {
        follower.safe = settled
        this.#forget()
        silenceMs = longestPauseMs
      } else {
        await pause(silenceMs)
        silenceMs = Math.min(silenceMs * 2, longestSilenceMs)
      }
    }
    // At once with the last look at what is missing: a write that comes now has to find nobody following.
    follower.followed = false
  }

  /** Resolves to true once the replica has everything its primary has now. */
  async #prove(follower: Follower): Promise<boolean> {
    const [target, answer] = [await standing(follower.primary), await this.#ask(follower)]
    if (target === 'forbidden' || answer === 'forbidden') {
      await pause(this.#assumedLagMs)
      return true
    }
    if (target === 'silent' || !(await this.#reaches(follower, target))) return false
    // More than that cannot be expected of it, whatever a token says.
    const expected = this.#expected.get(target.stream) ?? 0
    if (expected > target.offset) this.#expected.set(target.stream, target.offset)
    return true
  }

  #lacksSomething(follower: Follower): boolean {
    if (this.#closed || !this.#followers.includes(follower)) return false
    const complete = follower.safe >= this.#last && this.#hasExpected(follower)
    return !complete && follower.connection.wake()
  }

  /** The highest number up to which every write is settled. */
  #settledUpTo(): number {
    const [oldest] = this.#open
    return oldest === undefined ? this.#last : oldest - 1
  }

  /** Resolves to true when the replica has applied the offset, to false when it goes away or leaves the stream before. */
  async #reaches(follower: Follower, { role, stream, offset }: Standing): Promise<boolean> {
    if (role !== 'master') return false
    let pauseMs = shortestPauseMs
    while (!this.#closed) {
      const found = follower.standing
      if (found?.role !== 'slave' || found.stream !== stream || !found.linked) return false
      if (found.offset >= offset) return true
      await pause(pauseMs)
      pauseMs = Math.min(pauseMs * 2, longestPauseMs)
      if ((await this.#ask(follower)) === 'silent') return false
    }
    return false
  }

  async #ask(follower: Follower): Promise<Answer> {
    const answer = await standing(follower.connection)
    if (typeof answer === 'string') return answer
    const before = follower.standing?.stream
    follower.standing = answer
    // What was expected of it was told in offsets of a stream it has left.
    if (before !== undefined && before !== answer.stream && this.#expected.delete(before)) {
      this.#floor = ++this.#last
    }
    return answer
  }

  #knows(stream: string): boolean {
    return this.#followers.some((follower) => follower.standing?.stream.startsWith(stream))
  }

  #expect(prefix: string, offset: number): void {
    for (const { standing } of this.#followers) {
      const stream = standing?.stream
      if (stream?.startsWith(prefix) !== true) continue
      this.#expected.set(stream, Math.max(offset, this.#expected.get(stream) ?? 0))
    }
  }

  #hasExpected({ standing }: Follower): boolean {
    if (this.#expected.size === 0) return true
    // One that has not been asked yet may be anywhere.
    return standing !== undefined && standing.offset >= (this.#expected.get(standing.stream) ?? 0)
  }

  #note(key: string, number: number): void {
    // Moved to the end, so that the numbers ascend in the order of the map.
    this.#written.delete(key)
    this.#written.set(key, number)
  }

  #forget(): void {
    // One that is distrusted has to prove everything anyway before it is asked.
    const trusted = this.#followers.filter(({ safe }) => safe >= 0)
    const everywhere = Math.min(...trusted.map(({ safe }) => safe))
    for (const [key, number] of this.#written) {
      if (number > everywhere) break
      this.#written.delete(key)
    }
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms).unref())
}
