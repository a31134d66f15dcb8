import { notACounter } from '@stowage/core/driver'
import { toAttribute } from '../attributes.ts'
import type { Conditions } from './conditions.ts'
import type { ItemShape } from './item-mapper.ts'
import type { ItemRequests } from './item-requests.ts'
import type { Expiry } from './ttl-attribute.ts'

const attempts = 10
const { MAX_SAFE_INTEGER: most, MIN_SAFE_INTEGER: least } = Number

/** Counters: numbers that the server adds to, so that none of many increments is lost. */
export class Counters {
  readonly #items: ItemRequests
  readonly #shape: ItemShape
  readonly #expiry: Expiry
  readonly #conditions: Conditions

  constructor(items: ItemRequests, shape: ItemShape, expiry: Expiry, conditions: Conditions) {
    this.#items = items
    this.#shape = shape
    this.#expiry = expiry
    this.#conditions = conditions
  }

  async increment(key: string, by: number, ttl: number | undefined): Promise<number> {
    for (let attempt = 0; attempt < attempts; attempt++) {
      const sum = (await this.#count(key, by, ttl)) ?? (await this.#start(key, by, ttl))
      if (sum !== undefined) return this.#whole(key, sum, by)
      // Neither there to be counted nor absent: no counter, or it came and went in between.
      await this.#assertCounts(key, by)
    }
    throw notACounter('dynamodb', key, 'it keeps being deleted and created', { retryable: true })
  }

  /** Adds to a counter that lives; without a ttl also to one that was never there. `undefined`: there is none. */
  async #count(key: string, by: number, ttl: number | undefined): Promise<number | undefined> {
    const created = ttl === undefined
    const range = [Math.max(least, least - by), Math.min(most, most - by)] as const
    const condition = this.#conditions.within(this.#expiry.now(), ...range, created)
    const expression = created ? 'SET #v = if_not_exists(#v, :zero) + :by' : 'SET #v = #v + :by'
    const values = { ':by': { N: `${by}` }, ...(created && { ':zero': { N: '0' } }) }
    // Counting twice would be wrong: an answer that was lost is reported.
    const call = { operation: 'increment', key, repeatable: false }
    const answer = await this.#items.update(call, expression, condition, values)
    return answer && Number(answer.Attributes?.[this.#shape.names.value]?.N)
  }

  async #start(key: string, by: number, ttl: number | undefined) {
    const condition = this.#conditions.absent(this.#expiry.now())
    const item = this.#shape.item(key, `${by}`, ttl)
    // There is no negative zero.
    return (await this.#items.putIf('increment', key, item, condition)) ? by + 0 : undefined
  }

  /** A fraction that another program has stored is a number to the server: what was added to it is taken back. */
  async #whole(key: string, sum: number, by: number): Promise<number> {
    if (Number.isSafeInteger(sum)) return sum
    await this.#count(key, -by, 1)
    throw notACounter('dynamodb', key, 'the stored value is not an integer')
  }

  /** @throws CacheError `ERR_CACHE_REJECTED` when what lives there cannot be counted on */
  async #assertCounts(key: string, by: number): Promise<void> {
    const payload = this.#shape.payloadOf(await this.#items.read('increment', key, true))
    if (payload === undefined) return
    const value = toAttribute(payload).N
    if (value === undefined)
      throw notACounter('dynamodb', key, 'the stored value is not an integer')
    if (Number.isSafeInteger(Number(value) + by)) return
    throw notACounter('dynamodb', key, 'the sum is not a safe integer')
  }
}
