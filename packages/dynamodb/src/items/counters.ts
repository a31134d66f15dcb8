import { notACounter } from '@stowage/core/driver'
import { toAttribute } from '../attributes.ts'
import type { Conditions } from './conditions.ts'
import type { ItemMapper } from './item-mapper.ts'
import type { ItemRequests } from './item-requests.ts'
import type { TtlAttribute } from './ttl-attribute.ts'

const maxAttempts = 10
const { MAX_SAFE_INTEGER: maxSum, MIN_SAFE_INTEGER: minSum } = Number

/** Counters are numbers that the server adds to, so that concurrent increments are never lost. */
export class Counters {
  readonly #items: ItemRequests
  readonly #mapper: ItemMapper
  readonly #ttl: TtlAttribute
  readonly #conditions: Conditions

  constructor(items: ItemRequests, mapper: ItemMapper, ttl: TtlAttribute, conditions: Conditions) {
    this.#items = items
    this.#mapper = mapper
    this.#ttl = ttl
    this.#conditions = conditions
  }

  async increment(key: string, by: number, ttl: number | undefined): Promise<number> {
    for (let attempt = 0; attempt < maxAttempts; attempt++) {
      const sum = (await this.#add(key, by, ttl)) ?? (await this.#create(key, by, ttl))
      if (sum !== undefined) return this.#assertInteger(key, sum, by)
      // Neither added nor created: the item is not a counter, or another client created and deleted it meanwhile.
      await this.#assertCounter(key, by)
    }
    const reason = 'other clients created and deleted the counter during every attempt'
    throw notACounter('dynamodb', key, reason, { retryable: true })
  }

  /** Adds to an existing counter; without a ttl also creates a missing one. `undefined` if the condition failed. */
  async #add(key: string, by: number, ttl: number | undefined): Promise<number | undefined> {
    const creates = ttl === undefined
    const range = [Math.max(minSum, minSum - by), Math.min(maxSum, maxSum - by)] as const
    const condition = this.#conditions.inRange(this.#ttl.now(), ...range, creates)
    const expression = creates ? 'SET #v = if_not_exists(#v, :zero) + :by' : 'SET #v = #v + :by'
    const values = { ':by': { N: `${by}` }, ...(creates && { ':zero': { N: '0' } }) }
    // A retry could add twice, so a lost reply is reported.
    const context = { operation: 'increment', key, idempotent: false }
    const output = await this.#items.update(context, expression, condition, values)
    return output && Number(output.Attributes?.[this.#mapper.names.value]?.N)
  }

  async #create(key: string, by: number, ttl: number | undefined) {
    const condition = this.#conditions.notExists(this.#ttl.now())
    const item = this.#mapper.toItem(key, `${by}`, ttl)
    // Adding 0 turns -0 into 0, which DynamoDB stores.
    return (await this.#items.putIf('increment', key, item, condition)) ? by + 0 : undefined
  }

  /** The server also adds to a fraction that another program stored. Such an addition is undone. */
  async #assertInteger(key: string, sum: number, by: number): Promise<number> {
    if (Number.isSafeInteger(sum)) return sum
    await this.#add(key, -by, 1)
    throw notACounter('dynamodb', key, 'the stored value is not an integer')
  }

  /** @throws CacheError `ERR_CACHE_REJECTED` if the item exists and cannot be incremented */
  async #assertCounter(key: string, by: number): Promise<void> {
    const item = await this.#items.get('increment', key, true)
    const payload = this.#mapper.payloadOf(item)
    if (payload === undefined) return
    const value = toAttribute(payload).N
    if (value === undefined)
      throw notACounter('dynamodb', key, 'the stored value is not an integer')
    if (item?.[this.#mapper.names.value]?.N === undefined)
      throw notACounter('dynamodb', key, 'another program has stored the integer as text')
    if (Number.isSafeInteger(Number(value) + by)) return
    throw notACounter('dynamodb', key, 'the sum is not a safe integer')
  }
}
