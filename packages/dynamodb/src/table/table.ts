import { setTimeout as sleep } from 'node:timers/promises'
import type { CreateTableInput } from '@aws-sdk/client-dynamodb'
import { CacheError } from '@stowage/core'
import type { ResolvedOptions, TableMode } from '../dynamodb-options.ts'
import type { RequestContext, RequestSender } from '../requests/request-sender.ts'
import { awsCli } from './table-definitions.ts'
import {
  isEnabledOn,
  keyProblem,
  type TableDescription,
  type TtlState,
  ttlProblem,
} from './table-state.ts'

/** A new table needs some seconds to become active. */
const activeTimeoutMs = 60_000
const context: RequestContext = { operation: 'ensureTable', prepares: true }

/**
 * Checks that the table exists, that it has the key of the store, and that its TTL is enabled. `'verify'` reports what is
 * wrong; `'create'` creates what is missing, and never changes an existing key or TTL attribute.
 * @throws CacheError `ERR_CACHE_CONFIG` with what is wrong, and the commands that create a valid table
 */
export async function prepareTable(
  sender: RequestSender,
  names: ResolvedOptions['names'],
  mode: Exclude<TableMode, 'off'>,
): Promise<void> {
  const table = new Table(sender, names)
  table.assertKey(await table.waitUntilActive(mode))
  await table.ensureTtl(mode)
}

class Table {
  readonly #sender: RequestSender
  readonly #names: ResolvedOptions['names']
  readonly #input: { readonly TableName: string }

  constructor(sender: RequestSender, names: ResolvedOptions['names']) {
    this.#sender = sender
    this.#names = names
    this.#input = { TableName: sender.target.table }
  }

  /** `problem` continues a sentence that begins with the table. */
  configError(problem: string): CacheError {
    const { table } = this.#sender.target
    const commands = awsCli({ table, attributes: this.#names })
    return new CacheError(
      'ERR_CACHE_CONFIG',
      `dynamodb ensureTable failed: the table "${table}" ${problem}. A valid table is created by ensureTable: 'create', ` +
        `or by\n${commands}`,
      { store: 'dynamodb', operation: context.operation },
    )
  }

  /** `undefined` if the table does not exist. */
  async describe(): Promise<TableDescription | undefined> {
    try {
      return (await this.#sender.send('DescribeTable', this.#input, context)).Table
    } catch (error) {
      if (causeOf(error)?.name !== 'ResourceNotFoundException') throw error
      return undefined
    }
  }

  async create(): Promise<void> {
    const { key } = this.#names
    const input: CreateTableInput = {
      ...this.#input,
      BillingMode: 'PAY_PER_REQUEST',
      KeySchema: [{ AttributeName: key, KeyType: 'HASH' }],
      AttributeDefinitions: [{ AttributeName: key, AttributeType: 'S' }],
    }
    // Another process may have created it meanwhile.
    await this.#sender.send('CreateTable', input, context).catch((error) => {
      if (causeOf(error)?.name !== 'ResourceInUseException') throw error
    })
  }

  /** A table that is being deleted is created once it does not exist any more. */
  async waitUntilActive(mode: Exclude<TableMode, 'off'>): Promise<TableDescription> {
    const deadline = performance.now() + activeTimeoutMs
    for (let delayMs = 50; ; delayMs = Math.min(2 * delayMs, 1_000)) {
      const description = await this.describe()
      if (description === undefined && mode === 'verify') throw this.configError('does not exist')
      if (description === undefined) await this.create()
      const status = description?.TableStatus
      if (description && (status === 'ACTIVE' || status === 'UPDATING')) return description
      if (performance.now() > deadline)
        throw this.configError(`is ${status ?? 'missing'} instead of ACTIVE`)
      await sleep(delayMs)
    }
  }

  assertKey(description: TableDescription): void {
    const problem = keyProblem(description, this.#names.key)
    if (problem !== undefined) throw this.configError(problem)
  }

  async ensureTtl(mode: Exclude<TableMode, 'off'>): Promise<void> {
    const { ttl } = this.#names
    const current = await this.#describeTtl()
    if (isEnabledOn(current, ttl)) return
    const isOnOther = isEnabledOn(current, current.attribute)
    // Not reached if the TTL is as it should be.
    if (isOnOther || mode === 'verify') throw this.configError(ttlProblem(current, ttl) ?? '')
    const TimeToLiveSpecification = { AttributeName: ttl, Enabled: true }
    try {
      const input = { ...this.#input, TimeToLiveSpecification }
      await this.#sender.send('UpdateTimeToLive', input, context)
    } catch (error) {
      // Engines without TTL are for tests: their items need not be deleted.
      if (causeOf(error)?.name === 'UnknownOperationException') return
      // Another process may have enabled it meanwhile. For some minutes the server then rejects any change.
      if (!isEnabledOn(await this.#describeTtl(), ttl)) throw error
    }
  }

  async #describeTtl(): Promise<TtlState> {
    const output = await this.#sender.send('DescribeTimeToLive', this.#input, context)
    const { TimeToLiveStatus, AttributeName } = output.TimeToLiveDescription ?? {}
    return { status: TimeToLiveStatus, attribute: AttributeName }
  }
}

/** The exception of the SDK. */
function causeOf(error: unknown): Error | undefined {
  return (error as CacheError).cause as Error | undefined
}
