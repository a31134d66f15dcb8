import type { Clock } from '@stowage/core'
import type { Item } from '../attributes.ts'
import { internalNames, type ResolvedOptions } from '../dynamodb-options.ts'

/** A time as items store it: epoch seconds, rounded up, and by how many milliseconds the exact time is earlier. */
export interface Timestamp {
  readonly seconds: number
  readonly earlyMs: number
}

/**
 * The expiry of items. DynamoDB requires epoch seconds in its TTL attribute and deletes expired items only within days,
 * so every read and every condition compares the time itself. The seconds are rounded up, so that DynamoDB never deletes
 * an item early. A second attribute stores by how many milliseconds the item expires before that second. Items of other
 * programs may have the seconds alone.
 * @see https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ttl-expired-items.html
 */
export class TtlAttribute {
  readonly #clock: Pick<Clock, 'now'>
  readonly #name: string

  constructor(clock: Pick<Clock, 'now'>, names: ResolvedOptions['names']) {
    this.#clock = clock
    this.#name = names.ttl
  }

  /** The attributes of an item that expires in `ttl` milliseconds; none for an item that never expires. */
  attributesFor(ttl: number | undefined): Item {
    if (ttl === undefined) return {}
    const { seconds, earlyMs } = toTimestamp(this.#clock.now() + ttl)
    return { [this.#name]: { N: `${seconds}` }, [internalNames.earlyMs]: { N: `${earlyMs}` } }
  }

  /**
   * The current time as conditions compare it: the next full second, and the milliseconds until then (1 to 1000). An
   * item is expired if its seconds are less, or if they are equal and its `earlyMs` is at least as large.
   */
  now(): Timestamp {
    const now = this.#clock.now()
    const seconds = Math.floor(now / 1_000) + 1
    return { seconds, earlyMs: seconds * 1_000 - now }
  }

  /** The remaining ttl of an item that is not expired, in milliseconds; `undefined` if it never expires. */
  ttlOf(item: Item): number | undefined {
    const { [this.#name]: ttl, [internalNames.earlyMs]: early } = item
    if (ttl?.N === undefined) return undefined
    return Math.max(1, Number(ttl.N) * 1_000 - Number(early?.N ?? 0) - this.#clock.now())
  }

  /** Whether the item is expired, by the same rule as the conditions. */
  isExpired(item: Item): boolean {
    const { [this.#name]: ttl, [internalNames.earlyMs]: early } = item
    if (ttl?.N === undefined) return false
    const now = this.now()
    const seconds = Number(ttl.N)
    return seconds < now.seconds || (seconds === now.seconds && Number(early?.N) >= now.earlyMs)
  }
}

function toTimestamp(epochMs: number): Timestamp {
  const seconds = Math.ceil(epochMs / 1_000)
  return { seconds, earlyMs: seconds * 1_000 - epochMs }
}
