import type { AttributeValue } from '@aws-sdk/client-dynamodb'
import { ownNames, type ResolvedOptions } from '../dynamodb-options.ts'
import type { Moment } from './ttl-attribute.ts'

/** A condition with the names and values it uses, as requests take it. */
export interface Condition {
  readonly ConditionExpression: string
  readonly ExpressionAttributeNames: Record<string, string>
  readonly ExpressionAttributeValues: Record<string, AttributeValue>
}

// AND binds stronger than OR. A comparison with what is not there, or is no number, does not hold: such an item goes on.
const ended = '#t < :now OR #t = :now AND #e >= :early'
const goesOn = `NOT (${ended})`

/** Conditions on what is stored now. They see an item that has ended and not been deleted yet as absent. */
export class Conditions {
  readonly #names: Record<string, string>

  constructor({ key, value, ttl }: ResolvedOptions['names']) {
    this.#names = { '#k': key, '#v': value, '#t': ttl, '#e': ownNames.early }
  }

  absent(now: Moment): Condition {
    return this.#condition(`attribute_not_exists(#k) OR ${ended}`, now)
  }

  lives(now: Moment): Condition {
    return this.#condition(`attribute_exists(#k) AND ${goesOn}`, now)
  }

  /** An item lives and is one of `values`. */
  equals(now: Moment, values: readonly AttributeValue[]): Condition {
    const named = Object.fromEntries(values.map((value, index) => [`:v${index}`, value]))
    const same = Object.keys(named).map((name) => `#v = ${name}`)
    return this.#condition(`(${same.join(' OR ')}) AND ${goesOn}`, now, named)
  }

  /** A number from `least` to `most` lives, or, where `absentToo`, nothing was ever there. */
  within(now: Moment, least: number, most: number, absentToo: boolean): Condition {
    const inRange = `#v BETWEEN :least AND :most AND ${goesOn}`
    const expression = absentToo ? `attribute_not_exists(#k) OR ${inRange}` : inRange
    const range = { ':least': { N: `${least}` }, ':most': { N: `${most}` } }
    return this.#condition(expression, now, range)
  }

  #condition(
    expression: string,
    { seconds, earlyMs }: Moment,
    values: Record<string, AttributeValue> = {},
  ): Condition {
    // A request that names what it does not use is refused.
    const names = Object.entries(this.#names).filter(([name]) => expression.includes(name))
    return {
      ConditionExpression: expression,
      ExpressionAttributeNames: Object.fromEntries(names),
      ExpressionAttributeValues: {
        ':now': { N: `${seconds}` },
        ':early': { N: `${earlyMs}` },
        ...values,
      },
    }
  }
}
