import { DriverRegistry, readEnv } from '@stowage/core'
import type { Driver } from '@stowage/core/driver'
import { memory } from '@stowage/memory'
import { describe, expect, test } from 'vitest'

const shared: Driver = {
  name: 'shared',
  create: () => memory(),
  fromEnv: (env) => ({ url: env.text('SHARED_URL') }),
  foreignVariables: { SHARED_HOST: 'SHARED_URL' },
}
const registry = new DriverRegistry({
  memory: () => import('@stowage/memory'),
  shared: async () => ({ default: shared }),
  missing: () => import('@stowage/no-such-package' as string),
})

describe('readEnv', () => {
  test('returns what the environment configures, and the variables that it used', async () => {
    const variables = { CACHE_DRIVER: 'shared', SHARED_URL: 'x', CACHE_TTL: '10m', OTHER: 'y' }
    const report = await readEnv(variables, registry)
    expect(report.problems).toEqual([])
    expect(report.roles.cache).toMatchObject({ store: 'shared', prefix: 'cache:', ttl: 600_000 })
    expect(report.roles.session).toMatchObject({ store: 'shared', prefix: 'session:' })
    expect(report.roles.cache.backendId).toBe(report.roles.session.backendId)
    expect([...report.used].sort()).toEqual(['CACHE_DRIVER', 'CACHE_TTL', 'SHARED_URL'])
    const caches = report.createCaches()
    expect(caches.use('session').driver).toBe('memory')
    await caches.close()
  })

  test('returns problems with codes instead of throwing them', async () => {
    const codesOf = async (variables: Record<string, string>) =>
      (await readEnv(variables, registry)).problems.map(({ variable, code }) => [variable, code])
    expect(await codesOf({ CACHE_DRVER: 'shared' })).toEqual([['CACHE_DRVER', 'misspelt']])
    expect(await codesOf({ CACHE_DRIVER: 'missing', SESSION_DRIVER: 'memory' })).toEqual([
      ['CACHE_DRIVER', 'package-missing'],
    ])
    const prefixes = { CACHE_DRIVER: 'shared', CACHE_PREFIX: 'a:', SESSION_PREFIX: 'a:b:' }
    expect(await codesOf(prefixes)).toEqual([['SESSION_PREFIX', 'prefix-overlap']])
    expect(await codesOf({ CACHE_DRIVER: 'other' })).toEqual([['CACHE_DRIVER', undefined]])
  })

  test('lists variables that are not read', async () => {
    const variables = { CACHE_DRIVER: 'shared', SHARED_ULR: 'x', SHARED_HOST: 'y', CACHE_TLL: '1m' }
    const { unread, warning } = await readEnv(variables, registry)
    expect(unread).toEqual([
      { variable: 'SHARED_ULR', replacement: 'SHARED_URL', kind: 'misspelt' },
      { variable: 'CACHE_TLL', replacement: 'CACHE_TTL', kind: 'misspelt' },
      { variable: 'SHARED_HOST', replacement: 'SHARED_URL', kind: 'foreign' },
    ])
    expect(warning).toContain('SHARED_HOST (use SHARED_URL)')
  })
})
