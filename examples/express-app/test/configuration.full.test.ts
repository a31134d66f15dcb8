import { once } from 'node:events'
import { createServer } from 'node:net'
import type { Variables } from '@stowage/example-shared/testing'
import { describe, expect, it } from 'vitest'
import { startShop } from './shop.ts'

async function failure(variables: Variables): Promise<string> {
  const app = startShop(variables)
  expect(await app.exitCode()).toBe(1)
  expect(app.stdout).toBe('')
  expect(app.stderr).not.toMatch(/^ +at /m)
  return app.stderr
}

describe('an invalid configuration', () => {
  it('reports every invalid variable with its remedy', async () => {
    const text = await failure({
      CACHE_DRIVER: 'rediss',
      SESSION_DRIVER: 'redis',
      REDIS_URL: 'banana',
      CACHE_TTL: 'soon',
      SESSION_LIFETIME: '10',
      PORT: 'http',
      PRODUCTS_DELAY: '-1',
    })
    expect(text).toMatch(/CACHE_DRIVER=rediss: .*Did you mean redis\?/)
    expect(text).toMatch(/REDIS_URL=banana: .*Use a URL like redis:\/\//)
    expect(text).toMatch(/CACHE_TTL=soon: .*such as 10m or 90s/)
    expect(text).toMatch(/SESSION_LIFETIME=10: .*such as 10m or 90s/)
    expect(text).toMatch(/PORT=http: /)
    expect(text).toMatch(/PRODUCTS_DELAY=-1: /)
    expect(text.match(/SESSION_LIFETIME/g)).toHaveLength(1)
  })

  it('never prints a password', async () => {
    const text = await failure({ SESSION_DRIVER: 'redis', REDIS_URL: 'http://user:hunter2@x' })
    expect(text).toContain('REDIS_URL=http://***@x: ')
    expect(text).not.toContain('hunter2')
  })

  it('reports an invalid port and a port that is in use', async () => {
    expect(await failure({ PORT: '65536' })).toContain('PORT=65536: ')
    const other = createServer().listen(0, '127.0.0.1')
    await once(other, 'listening')
    const { port } = other.address() as { port: number }
    expect(await failure({ PORT: String(port) })).toContain(`PORT=${port}: is already in use.`)
    other.close()
  })

  it('reports a host that is not an address of this machine', async () => {
    expect(await failure({ HOST: '192.0.2.1' })).toContain('HOST=192.0.2.1: ')
  })
})

const production = { NODE_ENV: 'production', SESSION_SECRET: 'only-for-this-test-and-long-enough' }

describe('the environment', () => {
  it('must contain a secret in production', async () => {
    const { SESSION_SECRET: _, ...variables } = production
    expect(await failure(variables)).toContain('SESSION_SECRET: is not set. ')
  })

  it('takes precedence over .env.production', async () => {
    const app = startShop({ ...production, SESSION_DRIVER: 'memory' })
    await app.url()
    expect(await app.stop()).toBe(0)
    expect(app.stdout).toContain('cache: redis, session: memory')
  })

  it('uses a random secret if none is set, and does not print it', async () => {
    const app = startShop({})
    await app.url()
    await app.stop()
    expect(app.stdout).toMatch(/^SESSION_SECRET is not set: /m)
    expect(app.stdout).not.toMatch(/[\w-]{43}/)
  })
})
