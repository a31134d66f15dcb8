import type { Connection } from './connection.ts'

/** How many written keys are told apart; beyond it, any key counts as written. */
const keptKeys = 100_000
const shortestPauseMs = 1
const longestPauseMs = 10
/** Between two questions to a server that does not say where it stands: it is away, or ROLE is forbidden. */
const silencePauseMs = 500

/** Where a server stands in the stream of changes. */
interface Position {
  readonly role: 'master' | 'slave'
  /** Bytes of the stream a primary has produced, or a replica has applied. */
  readonly offset: number
}

/** A replica as the fence sees it. */
export interface Follower {
  readonly connection: Connection
  /** Every write up to this number is applied there; −1 when not even the past is certain. */
  safe: number
  /** Whether it is being asked how far it has come. */
  followed: boolean
}

/**
 * Tells which replicas have applied what this process wrote, without guessing a delay. Each write gets a number. While
 * a replica lacks some, it is asked how far it has come until it has reached what the primary had when it was asked;
 * then every write that was answered before is there. The offset in a replica's ROLE is the one it has applied, not
 * just received.
 */
export class Fence {
  readonly #primary: Connection
  readonly #followers: readonly Follower[]
  /** The number of the last write of each key that is not known to be applied everywhere. */
  readonly #written = new Map<string, number>()
  /** Writes begun and not settled yet, the oldest first. */
  readonly #open = new Set<number>()
  #last = 0
  /** Every key counts as written with this number. */
  #floor = 0
  #closed = false

  constructor(primary: Connection, followers: readonly Follower[]) {
    this.#primary = primary
    this.#followers = followers
  }

  /** To be called before a write is sent; the function it returns, when the write is settled. */
  writing(keys: readonly string[] | undefined): () => void {
    const number = ++this.#last
    this.#open.add(number)
    if (keys === undefined || this.#written.size + keys.length > keptKeys) this.#floor = number
    else for (const key of keys) this.#note(key, number)
    return () => {
      this.#open.delete(number)
      for (const follower of this.#followers) this.follow(follower)
    }
  }

  /** The number a replica must have reached to answer for these keys. */
  required(keys: readonly string[]): number {
    let required = this.#floor
    if (this.#written.size === 0) return required
    for (const key of keys) required = Math.max(required, this.#written.get(key) ?? 0)
    return required
  }

  /** A replica that was away, or got another primary, may have older data: nothing counts as applied until it is asked. */
  distrust(follower: Follower): void {
    follower.safe = -1
  }

  /** Asks a replica how far it has come, until it has everything or is away. */
  follow(follower: Follower): void {
    if (follower.followed || this.#closed) return
    follower.followed = true
    void this.#follow(follower)
  }

  close(): void {
    this.#closed = true
  }

  async #follow(follower: Follower): Promise<void> {
    while (!this.#closed && follower.safe < this.#last && follower.connection.wake()) {
      const settled = this.#settledUpTo()
      const target = await position(this.#primary)
      const reached = target?.role === 'master' && (await this.#reaches(follower, target.offset))
      if (reached) {
        follower.safe = settled
        this.#forget()
      } else await pause(target === undefined ? silencePauseMs : longestPauseMs)
    }
    // At once with the last look at what is missing: a write that comes now has to find nobody following.
    follower.followed = false
  }

  /** The highest number up to which every write is settled. */
  #settledUpTo(): number {
    const [oldest] = this.#open
    return oldest === undefined ? this.#last : oldest - 1
  }

  /** Resolves to true when the replica has applied the offset, to false when it goes away before. */
  async #reaches(follower: Follower, offset: number): Promise<boolean> {
    for (
      let pauseMs = shortestPauseMs;
      !this.#closed;
      pauseMs = Math.min(pauseMs * 2, longestPauseMs)
    ) {
      const found = await position(follower.connection)
      if (found?.role !== 'slave') return false
      if (found.offset >= offset) return true
      await pause(pauseMs)
    }
    return false
  }

  #note(key: string, number: number): void {
    // Moved to the end, so that the numbers ascend in the order of the map.
    this.#written.delete(key)
    this.#written.set(key, number)
  }

  #forget(): void {
    const everywhere = Math.min(...this.#followers.map(({ safe }) => safe))
    for (const [key, number] of this.#written) {
      if (number > everywhere) break
      this.#written.delete(key)
    }
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms).unref())
}

/** Where a server stands, or `undefined` when it does not say: unreachable, or a replica without its primary. */
async function position(connection: Connection): Promise<Position | undefined> {
  if (!connection.wake()) return undefined
  connection.begin()
  try {
    return parseRole((await connection.client.role()) as unknown[])
  } catch {
    return undefined
  } finally {
    connection.end()
  }
}

/** ROLE of a primary: master, offset, replicas; of a replica: slave, host, port, state, offset. */
function parseRole(reply: readonly unknown[]): Position | undefined {
  if (reply[0] === 'master') return { role: 'master', offset: Number(reply[1]) }
  const connected = reply[0] === 'slave' && reply[3] === 'connected'
  return connected ? { role: 'slave', offset: Number(reply[4]) } : undefined
}
