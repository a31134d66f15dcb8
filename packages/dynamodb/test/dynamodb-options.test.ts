import { cachesFromEnv, DriverRegistry, Env } from '@stowage/core'
import driver, { type DynamoDBOptions, dynamodb } from '@stowage/dynamodb'
import { describe, expect, test } from 'vitest'

const registry = new DriverRegistry({ dynamodb: () => import('@stowage/dynamodb') })

describe('the environment', () => {
  test('is read for each role', () => {
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

  test('sessions share the table of the cache where they have none, and need a prefix of their own', async () => {
    const variables = { CACHE_DRIVER: 'dynamodb', CACHE_TABLE: 'shared' }
    expect(driver.fromEnv(new Env(variables, 'session'))).toMatchObject({ table: 'shared' })
    const caches = await cachesFromEnv(variables, registry)
    await caches.close()
    const overlapping = { ...variables, SESSION_PREFIX: 'cache:' }
    await expect(cachesFromEnv(overlapping, registry)).rejects.toThrow(/overlap/)
    const apart = await cachesFromEnv({ ...overlapping, SESSION_TABLE: 'sessions' }, registry)
    await apart.close()
  })

  test('tells everything that is wrong, with the remedy', async () => {
    const variables = {
      CACHE_DRIVER: 'dynamodb',
      SESSION_TABLE: 'my sessions',
      DYNAMODB_ENDPOINT: 'localhost:8000',
      DYNAMODB_ENSURE_TABLE: 'yes',
      DYNAMODB_CONSISTENCY: 'perfect',
    }
    const error = await cachesFromEnv(variables, registry).catch((e) => e)
    expect(error.code).toBe('ERR_CACHE_CONFIG')
    expect(error.message).toMatch(/CACHE_TABLE: is missing\. It must be the name of a table/)
    expect(error.message).toMatch(/SESSION_TABLE=my sessions: must be the name of a table/)
    expect(error.message).toMatch(/DYNAMODB_ENDPOINT=.*: .*Use a URL like http:\/\//)
    expect(error.message).toMatch(/DYNAMODB_ENSURE_TABLE=yes: .*off, verify, create/)
    expect(error.message).toMatch(/DYNAMODB_CONSISTENCY=perfect: .*eventual, session, strong/)
  })
})

describe('options', () => {
  const wrong: readonly (readonly [Partial<DynamoDBOptions>, RegExp])[] = [
    [{ table: '' }, /table must be the name/],
    [{ table: 'ab' }, /3 to 255/],
    [{ attributes: { key: 'value' } }, /names of their own/],
    [{ attributes: { ttl: 'early_ms' } }, /names of their own/],
    [{ maxValueBytes: 500_000 }, /maxValueBytes must be a whole number from 1 to 405504/],
    [{ compressFrom: 16 }, /compressFrom must be a whole number of at least 64/],
    [{ endpoint: 'localhost:8000' }, /endpoint must be a URL such as http/],
    [{ consistency: 'perfect' as never }, /consistency must be one of eventual, session, strong/],
    [{ ensureTable: true as never }, /ensureTable must be one of off, verify, create/],
    [{ timeout: 0 }, /timeout must be between/],
  ]

  test.each(wrong)('%o are refused', (options, message) => {
    expect(() => dynamodb({ table: 'cache', ...options })).toThrow(message)
  })

  test('nothing is opened before the first command', async () => {
    await dynamodb({ table: 'cache', endpoint: 'http://127.0.0.1:1' }).close()
  })
})
