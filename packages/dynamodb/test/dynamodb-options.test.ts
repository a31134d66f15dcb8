import { cachesFromEnv, DriverRegistry } from '@stowage/core'
import { Env } from '@stowage/core/driver'
import driver, { type DynamoDBOptions, dynamodb } from '@stowage/dynamodb'
import { describe, expect, test } from 'vitest'

const registry = new DriverRegistry({ dynamodb: () => import('@stowage/dynamodb') })

describe('the environment', () => {
  test('is read per role', () => {
    const variables = {
      CACHE_TABLE: 'cache',
      SESSION_TABLE: 'sessions',
      DYNAMODB_ENDPOINT: 'http://127.0.0.1:8000',
      AWS_DEFAULT_REGION: 'eu-west-1',
      SESSION_AWS_REGION: 'eu-central-1',
      CACHE_DYNAMODB_ENSURE_TABLE: 'create',
    }
    expect(driver.fromEnv(new Env(variables, 'cache'))).toMatchObject({
      table: 'cache',
      region: 'eu-west-1',
      endpoint: 'http://127.0.0.1:8000/',
      ensureTable: 'create',
      consistency: undefined,
    })
    expect(driver.fromEnv(new Env(variables, 'session'))).toMatchObject({
      table: 'sessions',
      region: 'eu-central-1',
      ensureTable: undefined,
      consistency: 'strong',
    })
  })

  test('falls back to the table of the cache for sessions, which then need a different prefix', async () => {
    const variables = { CACHE_DRIVER: 'dynamodb', CACHE_TABLE: 'shared' }
    expect(driver.fromEnv(new Env(variables, 'session'))).toMatchObject({ table: 'shared' })
    const caches = await cachesFromEnv(variables, registry)
    await caches.close()
    const overlapping = { ...variables, SESSION_PREFIX: 'cache:' }
    await expect(cachesFromEnv(overlapping, registry)).rejects.toThrow(/overlap/)
    const separate = await cachesFromEnv({ ...overlapping, SESSION_TABLE: 'sessions' }, registry)
    await separate.close()
  })

  test('reports every problem with its remedy', async () => {
    const variables = {
      CACHE_DRIVER: 'dynamodb',
      SESSION_TABLE: 'my sessions',
      DYNAMODB_ENDPOINT: 'localhost:8000',
      DYNAMODB_ENSURE_TABLE: 'yes',
      DYNAMODB_CONSISTENCY: 'perfect',
    }
    const error = await cachesFromEnv(variables, registry).catch((e) => e)
    expect(error.code).toBe('ERR_CACHE_CONFIG')
    expect(error.message).toMatch(
      /CACHE_TABLE: is missing\. Set it to the name of a table: 3 to 255/,
    )
    expect(error.message).toMatch(
      /SESSION_TABLE=my sessions: is not the name of a table\. Use 3 to 255/,
    )
    expect(error.message).toMatch(/DYNAMODB_ENDPOINT=.*: .*http:\/\/127\.0\.0\.1:8000/)
    expect(error.message).toMatch(/DYNAMODB_ENSURE_TABLE=yes: .*off, verify, create/)
    expect(error.message).toMatch(/DYNAMODB_CONSISTENCY=perfect: .*eventual, session, strong/)
  })
})

describe('options', () => {
  const invalid: readonly (readonly [Partial<DynamoDBOptions>, RegExp])[] = [
    [{ table: '' }, /table must be the name/],
    [{ table: 'ab' }, /3 to 255/],
    [{ attributes: { key: 'value' } }, /attributes must have distinct, non-empty names/],
    [{ attributes: { ttl: 'early_ms' } }, /distinct, non-empty names/],
    [{ maxValueBytes: 500_000 }, /maxValueBytes must be .* from 1 to 405504/],
    [{ compressionThreshold: 16 }, /compressionThreshold must be .*at least 64/],
    [{ endpoint: 'localhost:8000' }, /endpoint must be a URL such as http/],
    [{ consistency: 'perfect' as never }, /consistency must be one of eventual, session, strong/],
    [{ ensureTable: true as never }, /ensureTable must be one of off, verify, create/],
    [{ timeout: 0 }, /timeout must be between/],
    [{ client: null as never }, /client must be a DynamoDBClient/],
    [{ client: { get: () => {} } as never }, /client must be a DynamoDBClient/],
  ]

  test.each(invalid)('%o are rejected', (options, message) => {
    expect(() => dynamodb({ table: 'cache', ...options })).toThrow(message)
  })

  test('that do not exist are a TypeError, with the most similar name', () => {
    const misspelled = { table: 'cache', consistancy: 'strong' } as DynamoDBOptions
    const message = 'dynamodb: unknown option consistancy. Did you mean consistency?'
    expect(() => dynamodb(misspelled)).toThrow(new TypeError(message))
  })

  test('reject calls if the function client returns none', async () => {
    const store = dynamodb({ table: 'cache', client: (async () => undefined) as never })
    await expect(store.get('k')).rejects.toMatchObject({ code: 'ERR_CACHE_CONFIG' })
    await store.close()
  })

  test('a store without commands never connects', async () => {
    await dynamodb({ table: 'cache', endpoint: 'http://127.0.0.1:1' }).close()
  })
})
