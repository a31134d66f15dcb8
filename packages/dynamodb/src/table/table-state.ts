import type { DescribeTableOutput } from '@aws-sdk/client-dynamodb'

/** A table, as DescribeTable returns it. */
export type TableDescription = NonNullable<DescribeTableOutput['Table']>

/** The TTL of a table, as DescribeTimeToLive returns it. */
export interface TtlState {
  readonly status: string | undefined
  readonly attribute: string | undefined
}

/** What is wrong with the key of a table, as the continuation of a sentence. `undefined` if nothing is. */
export function keyProblem(
  { KeySchema = [], AttributeDefinitions = [] }: TableDescription,
  key: string,
): string | undefined {
  const types = new Map(
    AttributeDefinitions.map(({ AttributeName, AttributeType }) => [AttributeName, AttributeType]),
  )
  const actual = KeySchema.map(({ AttributeName: name }) => `${name} (${types.get(name)})`)
  const expected = `${key} (S)`
  if (actual.join(', ') === expected) return undefined
  return `has the key ${actual.join(', ')} instead of ${expected}`
}

/** What is wrong with the TTL of a table, as the continuation of a sentence. `undefined` if nothing is. */
export function ttlProblem(current: TtlState, attribute: string): string | undefined {
  if (isEnabledOn(current, attribute)) return undefined
  return isEnabledOn(current, current.attribute)
    ? `has its TTL on the attribute "${current.attribute}" instead of "${attribute}"`
    : 'has no TTL, so expired items are never deleted'
}

export function isEnabledOn({ status, attribute }: TtlState, name: string | undefined): boolean {
  return (status === 'ENABLED' || status === 'ENABLING') && attribute === name
}
