import type { Clock } from '@stowage/core'
import type { Item } from '../attributes.ts'
import { ownNames, type ResolvedOptions } from '../dynamodb-options.ts'

/** A moment as an item keeps it: the second that is not over before it, and by how much it is earlier. */
export interface Moment {
  readonly seconds: number
  readonly earlyMs: number
}

/**
 * When items end. DynamoDB wants epoch seconds, and deletes what has ended within days only, so every read and every
 * condition looks for itself. The seconds are rounded up, never to have DynamoDB delete early; the milliseconds by
 * which the item ends before them have an attribute of their own. A program that knows nothing of it may write the
 * seconds alone.
 * @see https://docs.aws.amazon.com/amazondynamodb/latest/developerguide/ttl-expired-items.html
 */
export class Expiry {
  readonly #clock: Clock
  readonly #ttlName: string

  constructor(clock: Clock, names: ResolvedOptions['names']) {
    this.#clock = clock
    this.#ttlName = names.ttl
  }

  /** The attributes of an item that ends in `ttl` milliseconds; none for one that never does. */
  attributes(ttl: number | undefined): Item {
    if (ttl === undefined) return {}
    const { seconds, earlyMs } = momentOf(this.#clock.now() + ttl)
    return { [this.#ttlName]: { N: `${seconds}` }, [ownNames.early]: { N: `${earlyMs}` } }
  }

  /**
   * Now, as conditions compare it: the first second that is not over, and how far it is away (1 to 1000 ms). An item
   * has ended if its second is an earlier one, or this one and it is early by that much at least.
   */
  now(): Moment {
    const now = this.#clock.now()
    const seconds = Math.floor(now / 1_000) + 1
    return { seconds, earlyMs: seconds * 1_000 - now }
  }

  /** Whether the item has ended, by the same rule. */
  hasPassed(item: Item): boolean {
    const { [this.#ttlName]: ttl, [ownNames.early]: early } = item
    if (ttl?.N === undefined) return false
    const now = this.now()
    const seconds = Number(ttl.N)
    return seconds < now.seconds || (seconds === now.seconds && Number(early?.N) >= now.earlyMs)
  }
}

function momentOf(at: number): Moment {
  const seconds = Math.ceil(at / 1_000)
  return { seconds, earlyMs: seconds * 1_000 - at }
}
