import { existsSync, readdirSync, readFileSync } from 'node:fs'
import { type ConfigProblem, cachesFromEnv } from '@stowage/core'
import { Env } from '@stowage/core/driver'
import { standardDrivers } from '@stowage/drivers'
import { expect, test } from 'vitest'

const packages = new URL('../../', import.meta.url)

/** The packages whose main entry point has a driver as its default export. */
function driverPackages(): string[] {
  return readdirSync(packages).filter((name) => {
    const index = new URL(`${name}/src/index.ts`, packages)
    return existsSync(index) && /\bdefault\b/.test(readFileSync(index, 'utf8'))
  })
}

test('contain every driver, under the name that the driver gives itself', async () => {
  const drivers = standardDrivers()
  expect(drivers.names().sort()).toEqual(driverPackages().sort())
  for (const name of drivers.names()) expect((await drivers.load(name)).name).toBe(name)
})

test('are selected by the environment', async () => {
  const caches = await cachesFromEnv({ SESSION_DRIVER: 'redis' }, standardDrivers())
  expect(caches.use('cache').driver).toBe('memory')
  expect(caches.use('session').driver).toBe('redis')
  await caches.close()
})

test.each(['redis', 'memcached', 'dynamodb', 'postgres', 'lmdb'])(
  '%s reads the deadline of its calls from a variable',
  async (name) => {
    const driver = await standardDrivers().load(name)
    const variable = `${name.toUpperCase()}_TIMEOUT`
    const optionsWith = (value: string, problems: ConfigProblem[] = []) =>
      driver.fromEnv?.(new Env({ CACHE_TABLE: 'cache', [variable]: value }, 'cache', problems))
    expect(optionsWith('5s')).toMatchObject({ timeout: 5_000 })
    const problems: ConfigProblem[] = []
    for (const invalid of ['5', '25d']) optionsWith(invalid, problems)
    expect(problems).toMatchObject([
      { variable, value: '5' },
      { variable, value: '25d' },
    ])
  },
)

test('can be extended', () => {
  const drivers = standardDrivers().register('own', () => import('@stowage/memory'))
  expect(drivers.has('own')).toBe(true)
})
