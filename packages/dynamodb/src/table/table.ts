import { setTimeout as sleep } from 'node:timers/promises'
import {
  CreateTableCommand,
  DescribeTableCommand,
  type DescribeTableOutput,
  DescribeTimeToLiveCommand,
  type DescribeTimeToLiveOutput,
  UpdateTimeToLiveCommand,
} from '@aws-sdk/client-dynamodb'
import { CacheError } from '@stowage/core'
import type { ResolvedOptions, TableMode } from '../dynamodb-options.ts'
import type { Call, Requests } from '../requests/request-sender.ts'
import { awsCli } from './table-definitions.ts'

/** A new table takes some seconds. */
const activeWithinMs = 60_000
const call: Call = { operation: 'ensureTable' }

/**
 * Sees to the table: that it is there with a key as the store needs it, and that its TTL deletes what has ended.
 * `'verify'` reports what is not so, `'create'` makes what is missing and never changes what is there.
 * @throws CacheError `ERR_CACHE_CONFIG` with what is wrong and the commands that make it right
 */
export async function ensure(
  requests: Requests,
  names: ResolvedOptions['names'],
  mode: Exclude<TableMode, 'off'>,
): Promise<void> {
  const table = new TableCheck(requests, names)
  const found = await table.describe()
  if (found === undefined && mode === 'verify') throw table.wrong('does not exist')
  if (found === undefined) await table.create()
  table.assertKey(await table.active())
  await table.ensureTtl(mode)
}

class TableCheck {
  readonly #requests: Requests
  readonly #names: ResolvedOptions['names']
  readonly #table: { readonly TableName: string }

  constructor(requests: Requests, names: ResolvedOptions['names']) {
    this.#requests = requests
    this.#names = names
    this.#table = { TableName: requests.target.table }
  }

  /** What is wrong with the table, and how it would be right. */
  wrong(what: string): CacheError {
    const { table } = this.#requests.target
    const remedy = awsCli({ table, attributes: this.#names })
    return new CacheError(
      'ERR_CACHE_CONFIG',
      `dynamodb: the table "${table}" ${what}. As it should be, it is made by ensureTable: 'create', or by\n${remedy}`,
      { store: 'dynamodb', operation: call.operation },
    )
  }

  async describe(): Promise<DescribeTableOutput['Table']> {
    try {
      const command = new DescribeTableCommand(this.#table)
      return (await this.#requests.send<DescribeTableOutput>(command, call)).Table
    } catch (error) {
      if (causeOf(error)?.name !== 'ResourceNotFoundException') throw error
      return undefined
    }
  }

  async create(): Promise<void> {
    const { key } = this.#names
    const command = new CreateTableCommand({
      ...this.#table,
      BillingMode: 'PAY_PER_REQUEST',
      KeySchema: [{ AttributeName: key, KeyType: 'HASH' }],
      AttributeDefinitions: [{ AttributeName: key, AttributeType: 'S' }],
    })
    // Another process may have been faster.
    await this.#requests.send(command, call).catch((error) => {
      if (causeOf(error)?.name !== 'ResourceInUseException') throw error
    })
  }

  async active(): Promise<NonNullable<DescribeTableOutput['Table']>> {
    const deadline = performance.now() + activeWithinMs
    for (let pause = 50; ; pause = Math.min(2 * pause, 1_000)) {
      const found = await this.describe()
      if (found?.TableStatus === 'ACTIVE' || found?.TableStatus === 'UPDATING') return found
      if (performance.now() > deadline) throw this.wrong(`is ${found?.TableStatus ?? 'not there'}`)
      await sleep(pause)
    }
  }

  assertKey({
    KeySchema = [],
    AttributeDefinitions = [],
  }: NonNullable<DescribeTableOutput['Table']>) {
    const { key } = this.#names
    const types = new Map(
      AttributeDefinitions.map((each) => [each.AttributeName, each.AttributeType]),
    )
    const found = KeySchema.map(({ AttributeName: name }) => `${name} (${types.get(name)})`).join(
      ', ',
    )
    if (found !== `${key} (S)`) throw this.wrong(`has the key ${found} instead of ${key} (S)`)
  }

  async ensureTtl(mode: Exclude<TableMode, 'off'>): Promise<void> {
    const { ttl } = this.#names
    const found = await this.#ttl()
    if (isOnFor(found, ttl)) return
    const { name } = found
    if (isOnFor(found, name))
      throw this.wrong(`has its TTL on the attribute "${name}" instead of "${ttl}"`)
    if (mode === 'verify') throw this.wrong('has no TTL, so that nothing that has ended is deleted')
    const specification = { AttributeName: ttl, Enabled: true }
    const command = new UpdateTimeToLiveCommand({
      ...this.#table,
      TimeToLiveSpecification: specification,
    })
    try {
      await this.#requests.send(command, call)
    } catch (error) {
      // An engine that knows no TTL is one to try things on: nothing needs to be deleted.
      if (causeOf(error)?.name === 'UnknownOperationException') return
      // Here too, and for some minutes there is an answer that says nothing of who it was.
      const now = await this.#ttl()
      if (!isOnFor(now, ttl)) throw error
    }
  }

  async #ttl(): Promise<TtlState> {
    const command = new DescribeTimeToLiveCommand(this.#table)
    const answer = await this.#requests.send<DescribeTimeToLiveOutput>(command, call)
    const { TimeToLiveStatus: status, AttributeName: name } = answer.TimeToLiveDescription ?? {}
    return { status, name }
  }
}

interface TtlState {
  readonly status: string | undefined
  readonly name: string | undefined
}

function isOnFor({ status, name }: TtlState, attribute: string | undefined): boolean {
  return (status === 'ENABLED' || status === 'ENABLING') && name === attribute
}

/** What the server said. */
function causeOf(error: unknown): Error | undefined {
  return (error as CacheError).cause as Error | undefined
}
