import { cachesFromEnv, DriverRegistry } from '@stowage/core'
import { Env } from '@stowage/core/driver'
import driver, { lmdb } from '@stowage/lmdb'
import { expect, test } from 'vitest'

const code = 'ERR_CACHE_CONFIG'

test.each([
  { maxBytes: 1 },
  { maxBytes: 2 ** 45 + 1 },
  { maxBytes: '10 apples' },
  { maxBytes: '64MiB', maxValueBytes: '64MiB' },
  { durability: 'never' },
  { onDamage: 'cry' },
  { path: '' },
  { sweepInterval: 0 },
])('rejects %o', (options) => {
  expect(() => lmdb(options as object)).toThrow(expect.objectContaining({ code }))
})

test('rejects unknown options', () => {
  expect(() => lmdb({ maxByte: 1 } as object)).toThrow('Did you mean maxBytes?')
})

test('reads the environment: each role has a directory of its own', () => {
  const variables = { CACHE_PATH: '/data', LMDB_MAX_BYTES: '64MiB', LMDB_DURABILITY: 'power' }
  expect(driver.fromEnv(new Env(variables, 'cache'))).toEqual({
    path: '/data/cache',
    maxBytes: 64 * 1024 * 1024,
    durability: 'power',
  })
  expect(driver.fromEnv(new Env(variables, 'session'))).toMatchObject({
    path: '/data/session',
    onDamage: 'error',
  })
  expect(driver.fromEnv(new Env({ SESSION_PATH: '/s' }, 'session'))).toMatchObject({ path: '/s' })
})

test('reports invalid variables, and permits equal prefixes, because the files differ', async () => {
  const registry = new DriverRegistry({ lmdb: () => import('@stowage/lmdb') })
  const base = { CACHE_DRIVER: 'lmdb', CACHE_PREFIX: 'x:', SESSION_PREFIX: 'x:' }
  await expect(
    cachesFromEnv({ ...base, LMDB_MAX_BYTES: 'big', LMDB_DURABILITY: 'x' }, registry),
  ).rejects.toMatchObject({
    problems: [{ variable: 'LMDB_MAX_BYTES' }, { variable: 'LMDB_DURABILITY' }],
  })
  const caches = await cachesFromEnv(base, registry)
  await caches.close()
})
