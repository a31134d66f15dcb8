import type { DynamoDBClient } from '@aws-sdk/client-dynamodb'
import { dynamodb } from '@stowage/dynamodb'
import { isFullTier } from '@stowage/test-servers'
import { conform, ManualClock } from '@stowage/testing'
import { afterAll, beforeAll, describe, test } from 'vitest'
import { admin, createTable, type Engine, engines, region, useCredentials } from './engines.ts'

// These engines need seconds for a thousand concurrent requests.
const longTimeouts = { timeout: '2m', requestTimeout: '30s' } as const

/** Every optional feature, combined. */
const allOptions = {
  table: 'all-options',
  scan: true,
  chunks: true,
  compressionThreshold: 1_024,
  maxValueBytes: 1_048_576,
}
const variants = [
  ['DynamoDB Local', { table: 'plain' }, undefined],
  ['DynamoDB Local', allOptions, isFullTier ? undefined : (['scan'] as const)],
  ...(isFullTier ? ([['dynalite', { table: 'plain' }, undefined]] as const) : []),
] as const

/**
 * Sequences of calls for `npm test`: those with the writes that have a request each, and with batches. Core orders calls for
 * this driver, and its tests of `withKeyOrder` have all sequences.
 */
const sequences = [
  'set, delete',
  'set, compareAndSet',
  'getMany, setMany, getMany, deleteMany',
  'delete, setMany with a ttl that names a key twice',
  'setMany with a ttl, deleteMany',
]

function define(name: string, run: () => Promise<void>): void {
  const [, sequence] = /^order: calls of one key in one tick .*: (.*)/.exec(name) ?? []
  if (sequence === undefined || isFullTier || sequences.includes(sequence)) test(name, run)
}

/**
 * Holds the store to its contract with each variant. Takes minutes: the transports have a file each.
 *
 * @param transport what sends the requests: the store itself, or the client of the application
 */
export function conformVariants(transport: 'lean' | 'sdk'): void {
  describe.each(variants)(`%s, %o, ${transport}`, (name, options, groups) => {
    let engine: Engine
    let client: DynamoDBClient
    const clock = new ManualClock()

    beforeAll(async () => {
      useCredentials()
      engine = await engines[name]()
      // Shared by all stores, so that its connections and middleware are set up once.
      client = admin(engine)
      await createTable(engine, options.table)
    })
    afterAll(async () => {
      client.destroy()
      await engine.stop()
    })

    // The table has no TTL, so that only the driver hides expired items.
    const create = () => {
      const place =
        transport === 'lean' ? { endpoint: engine.url, region } : { client: () => client }
      return dynamodb({ clock, ...place, ...longTimeouts, ...options })
    }
    conform(define, create, {
      wait: (ms) => clock.advance(ms),
      exact: true,
      sharedBackend: true,
      groups,
    })
  })
}
